// Run in the project: loads every entry that the manifests of the packages name, and prints how many names each has. Then
// provokes an error, whose stack has to lead to the sources.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

for (const name of ["@imwire/runtime", "@imwire/conformance"]) {
  const manifest = fileURLToPath(import.meta.resolve(`${name}/package.json`));
  for (const entry of Object.keys(JSON.parse(readFileSync(manifest, "utf8")).exports)) {
    if (entry === "./package.json") continue;
    const loaded = await import(name + entry.slice(1));
    console.log(`${name}${entry.slice(1)}: ${Object.keys(loaded).length} names`);
  }
}

const { createClient } = await import("@imwire/runtime/client");
const client = await createClient({ url: "ws://127.0.0.1:7800", token: "dev:ann" });
try {
  client.send({ user: "a name of more than sixty-four bytes is not a name of this protocol" }, "hello");
} catch ({ stack }) {
  console.log(stack);
}
await client.close();
