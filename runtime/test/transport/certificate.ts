/** A certificate for 127.0.0.1 and localhost that signs itself, made with openssl; null where there is none. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ServerTls } from "../../src/transport/transport.js";

export const certificate: ServerTls | null = make();

function make(): ServerTls | null {
  const folder = mkdtempSync(join(tmpdir(), "imwire-tls-"));
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  const names = "subjectAltName=IP:127.0.0.1,DNS:localhost";
  const options = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  try {
    execFileSync(
      "openssl",
      ["req", "-x509", ...options, "-keyout", key, "-out", cert, "-subj", "/CN=localhost", "-addext", names],
      { stdio: "ignore" },
    );
    return { key: readFileSync(key, "utf8"), cert: readFileSync(cert, "utf8") };
  } catch {
    console.log("There is no openssl here: the tests over TLS are left out.");
    return null;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
