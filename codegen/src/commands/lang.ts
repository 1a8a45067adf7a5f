import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative, sep } from "node:path";
import type { Command } from "commander";
import { appProtos } from "../app-protos.js";
import { UsageError } from "../errors.js";
import { protoc } from "../protoc.js";
import { protocolFiles } from "../protocol.js";
import { type OutputOptions, report, several, withOutput } from "./output-options.js";

/** The generators that protoc brings. */
const BUILT_IN = ["cpp", "csharp", "java", "kotlin", "objc", "php", "pyi", "python", "rbs", "ruby", "rust"];

/** Languages whose generator is a plugin of its own. */
const PLUGINS: Record<string, { plugin: string; from: string }> = {
  dart: { plugin: "dart", from: "dart pub global activate protoc_plugin" },
  go: { plugin: "go", from: "go install google.golang.org/protobuf/cmd/protoc-gen-go@latest" },
  swift: { plugin: "swift", from: "the package swift-protobuf" },
};

export function register(program: Command): void {
  withOutput(program.command("lang"))
    .argument("<language>", `one of ${BUILT_IN.join(", ")}`)
    .description("bindings in another language, by the generators that protoc brings")
    .option("--proto <file>", "a proto file of yours; may be given several times", several, [])
    .addHelpText("after", "\nExample:\n  imwire-gen lang python --out imwire_pb")
    .action(async (language: string, options: OutputOptions & { proto: string[] }) => {
      const plugin = PLUGINS[language];
      if (plugin) {
        throw new UsageError(
          `${language} has a generator of its own: install it (${plugin.from}), then run\n` +
            "  imwire-gen descriptor --out imwire.binpb\n" +
            `  protoc --descriptor_set_in=imwire.binpb --${plugin.plugin}_out=DIR ${protocolFiles().join(" ")}`,
        );
      }
      if (!BUILT_IN.includes(language)) {
        const all = [...BUILT_IN, ...Object.keys(PLUGINS)].toSorted().join(", ");
        throw new UsageError(`there is no generator for "${language}": choose one of ${all}.`);
      }
      const app = appProtos(options.proto);
      await report(options, await generate(language, app.protoRoots, [...protocolFiles(), ...app.files]));
    });
}

async function generate(
  language: string,
  roots: readonly string[],
  files: readonly string[],
): Promise<Map<string, Uint8Array>> {
  const folder = await mkdtemp(join(tmpdir(), "imwire-gen-"));
  try {
    // Rust's generator asks which of its two kernels is meant.
    const options = language === "rust" ? ["--rust_opt=experimental-codegen=enabled,kernel=upb"] : [];
    // Kotlin's bindings are a layer over Java's.
    const also = language === "kotlin" ? [`--java_out=${folder}`] : [];
    await protoc(roots, [`--${language}_out=${folder}`, ...also, ...options, ...files]);
    const written = await readdir(folder, { recursive: true, withFileTypes: true });
    const output = new Map<string, Uint8Array>();
    for (const entry of written.filter((item) => item.isFile())) {
      const path = join(entry.parentPath, entry.name);
      output.set(relative(folder, path).split(sep).join("/"), await readFile(path));
    }
    return output;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
