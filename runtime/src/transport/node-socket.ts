/** What the transports of Node share: listening on a port, and saying in a sentence why something could not be opened. */
import type { AddressInfo, Server, Socket } from "node:net";
import { urlHost } from "./address.js";
import type { ClientTls } from "./transport.js";

/**
 * Makes a server listen.
 *
 * @param port 0: one that is free.
 * @returns The address for clients, without a scheme: `127.0.0.1:7800`.
 */
export function listening(server: Server, host: string, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const refuse = (error: Error) => reject(new Error(listenProblem(error, host, port), { cause: error }));
    server.once("error", refuse);
    const listened = () => {
      server.off("error", refuse);
      resolve(`${urlHost(reachable(host))}:${(server.address() as AddressInfo).port}`);
    };
    try {
      server.listen({ host, port }, listened);
    } catch (error) {
      refuse(error as Error);
    }
  });
}

/** Makes a server with a certificate; says what is wrong with it. */
export function withTls<Made>(make: () => Made): Made {
  try {
    return make();
  } catch (error) {
    throw new Error(
      `The server's certificate or key cannot be used (${(error as Error).message}): ` +
        "give both as PEM, and the key that belongs to the certificate.",
      { cause: error },
    );
  }
}

/** The other end of an accepted socket. */
export function remoteOf(socket: Socket): string {
  return `${urlHost(socket.remoteAddress ?? "unknown")}:${socket.remotePort ?? 0}`;
}

/** What a client's trust means to Node. */
export function trust(tls: ClientTls | undefined): { ca?: string | Buffer; rejectUnauthorized?: boolean } {
  return {
    ...(tls?.ca === undefined ? {} : { ca: pem(tls.ca) }),
    ...(tls?.insecure === true ? { rejectUnauthorized: false } : {}),
  };
}

/** PEM as Node takes it. */
export function pem(text: string | Uint8Array): string | Buffer {
  return typeof text === "string" ? text : Buffer.from(text);
}

/** The error of a dial that failed. */
export function dialError(error: Error, name: string): Error {
  return new Error(dialProblem(codeOf(error), error.message, name), { cause: error });
}

/** The error of a dial that was called off. */
export function abortError(signal: AbortSignal): Error {
  return signal.reason instanceof Error
    ? signal.reason
    : new Error("The dial was called off.", { cause: signal.reason });
}

function dialProblem(code: string, message: string, name: string): string {
  switch (code) {
    case "ECONNREFUSED":
      return `Nothing listens at ${name}: start the server, or correct the address.`;
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return `The host of ${name} cannot be found: correct the address, or look at the name service.`;
    case "DEPTH_ZERO_SELF_SIGNED_CERT":
    case "SELF_SIGNED_CERT_IN_CHAIN":
    case "UNABLE_TO_VERIFY_LEAF_SIGNATURE":
    case "UNABLE_TO_GET_ISSUER_CERT":
    case "UNABLE_TO_GET_ISSUER_CERT_LOCALLY":
      return `The certificate of ${name} comes from an authority that is not trusted here (${code}): give that authority as ca.`;
    case "ERR_TLS_CERT_ALTNAME_INVALID":
      return `The certificate of ${name} is for another host: dial a name that it holds, or give the server another one.`;
    case "ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL":
      return `The server at ${name} does not speak imwire over TLS: look at the port.`;
    default:
      return `Cannot connect to ${name}: ${message === "" ? code : message}.`;
  }
}

function listenProblem(error: Error, host: string, port: number): string {
  const where = `port ${port} of ${host}`;
  switch (codeOf(error)) {
    case "EADDRINUSE":
      return `Cannot listen on ${where}: something listens there already; stop it, or choose another port.`;
    case "EACCES":
      return `Cannot listen on ${where}: this user may not open that port; choose one above 1023.`;
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
    case "EAI_AGAIN":
    case "EINVAL":
      return `Cannot listen on ${where}: the host is no address of this computer; give one that is, such as 127.0.0.1.`;
    case "ERR_SOCKET_BAD_PORT":
      return `Cannot listen on ${where}: a port is a whole number from 0 to 65535.`;
    default:
      return `Cannot listen on ${where}: ${error.message}; choose another host or port.`;
  }
}

/** Where several addresses were tried, the error of the first counts. */
function codeOf(error: Error): string {
  const first = error instanceof AggregateError ? (error.errors[0] as Error) : error;
  return (error as NodeJS.ErrnoException).code ?? (first as NodeJS.ErrnoException).code ?? "";
}

function reachable(host: string): string {
  if (host === "0.0.0.0" || host === "") return "127.0.0.1";
  return host === "::" ? "::1" : host;
}
