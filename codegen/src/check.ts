/** Are these proto files in good style, and do they still fit what was released? */
import { cpSync, existsSync, mkdirSync } from "node:fs";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";
import { buf, BufError, type Finding } from "./buf.js";
import { UsageError } from "./errors.js";
import { protocolRoot } from "./protocol.js";
import { frozenFiles, latestFrozen } from "./releases.js";

/** The protocol's own rules: buf's standard ones, and a comment on everything. */
const PROTOCOL_RULES = { use: ["STANDARD", "COMMENTS"] };
/** An application's: where its files lie is its own affair. */
const APP_RULES = { use: ["BASIC"], except: ["PACKAGE_DIRECTORY_MATCH", "PACKAGE_SAME_DIRECTORY", "PACKAGE_DEFINED"] };

/** The descriptor of the latest release, or null when there is none. */
export function releasedDescriptor(): string | null {
  const name = latestFrozen(protocolRoot());
  return name === null ? null : join(protocolRoot(), "..", frozenFiles(name).descriptor);
}

export interface CheckRequest {
  /** Files of an application; none: the protocol itself is checked. */
  protos: readonly string[];
  /** A descriptor to compare with; null: the protocol's latest release, and nothing for an application. */
  against: string | null;
}

/** What lint and the comparison found. */
export async function checkProtos({ protos, against }: CheckRequest): Promise<Finding[]> {
  if (against !== null && !existsSync(against))
    throw new UsageError(`${against} does not exist: name a descriptor after --against.`);
  const folder = await mkdtemp(join(tmpdir(), "imwire-check-"));
  try {
    const module = join(folder, "proto");
    mkdirSync(module);
    for (const part of ["imwire/v1", "imwire/options"])
      cpSync(join(protocolRoot(), part), join(module, part), { recursive: true });
    const names = new Map<string, string>();
    for (const proto of protos) {
      const name = proto.split(/[\\/]/).at(-1)!;
      names.set(name, proto);
      await cp(proto, join(module, name));
    }
    const paths = protos.length > 0 ? [...names.keys()].flatMap((name) => ["--path", join("proto", name)]) : [];
    const config = {
      version: "v2",
      modules: [{ path: "proto" }],
      lint: protos.length > 0 ? APP_RULES : PROTOCOL_RULES,
      breaking: { use: ["FILE"] },
    };
    const common = ["--config", JSON.stringify(config)];
    const baseline = against ? resolve(against) : protos.length > 0 ? null : releasedDescriptor();
    const findings = await buf(["lint", ...common, ...paths], folder);
    if (baseline) {
      // What is imported is of other owners: google.protobuf of buf is not that of protoc, which wrote the descriptor.
      findings.push(...(await buf(["breaking", ...common, "--exclude-imports", "--against", baseline], folder)));
    }
    return findings.map((finding) => {
      const inside = finding.path.replace(/^proto[\\/]/, "");
      return { ...finding, path: names.get(inside) ?? relative(process.cwd(), join(protocolRoot(), inside)) };
    });
  } catch (error) {
    if (error instanceof BufError) throw new UsageError(`the files cannot be compared: ${error.message}`);
    throw error;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
