/** Dials from Node over whatever the scheme of the URL names. */
import { targetOf } from "./address.js";
import { dialTcp } from "./tcp.js";
import type { ClientTls, Dial } from "./transport.js";
import { dialWebSocket } from "./websocket-client.js";

export interface NodeDialOptions {
  /** What is trusted under `wss` and `tls`; the platform's authorities when absent. */
  readonly tls?: ClientTls | undefined;
  /** How long connecting may take, milliseconds. Default 10,000. */
  readonly handshakeTimeoutMs?: number | undefined;
}

export function dialNode(options: NodeDialOptions = {}): Dial {
  const dials: Readonly<Record<string, Dial>> = {
    ws: dialWebSocket(options.tls, options),
    wss: dialWebSocket(options.tls, options),
    tcp: dialTcp(options.tls, options),
    tls: dialTcp(options.tls, options),
  };
  return async (text, handler, signal) => {
    const { url } = targetOf(text, Object.keys(dials));
    return dials[url.protocol.slice(0, -1)]!(text, handler, signal);
  };
}
