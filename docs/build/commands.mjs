/**
 * What the commands say about themselves with `--help`, a page for each command.
 *
 * Some thirty starts of Node: a process of its own asks for them while this one reads declarations.
 */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { argv } from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { root } from "./root.mjs";

const run = promisify(execFile);

const COMMANDS = [
  { name: "imwire-conformance", bin: "conformance/bin/imwire-conformance.mjs" },
  { name: "imwire-gen", bin: "codegen/bin/imwire-gen.mjs" },
  { name: "imwire-server", bin: "runtime/bin/imwire-server.mjs", all: "--help-all" },
  { name: "imwire", bin: "runtime/bin/imwire.mjs" },
];

const help = async (bin, ...args) =>
  (await run(process.execPath, [join(root, bin), ...args], { cwd: root, env: { ...process.env, COLUMNS: "100" } }))
    .stdout;

/** The commands below the heading `Commands:` of a help text. */
const below = (text) => {
  const list = /^Commands:\n((?: {2}.*\n?)+)/m.exec(text)?.[1] ?? "";
  return [...list.matchAll(/^ {2}([a-z][\w-]*)/gm)].map(([, name]) => name).filter((name) => name !== "help");
};

/** @param {readonly string[]} names All when there is none. */
async function asked(names) {
  const told = [];
  for (const { name, bin, all } of COMMANDS) {
    if (names.length > 0 && !names.includes(name)) continue;
    const first = await help(bin, all ?? "--help");
    const parts = [{ name, text: first }];
    const subs = below(first);
    // A command of commands: those stand below it.
    if (subs.includes("baseline")) subs.splice(subs.indexOf("baseline") + 1, 0, "baseline update");
    // Two at a time: there may be no more processors, and the third is at work beside this.
    for (let at = 0; at < subs.length; at += 2)
      parts.push(
        ...(await Promise.all(
          subs
            .slice(at, at + 2)
            .map(async (sub) => ({ name: `${name} ${sub}`, text: await help(bin, ...sub.split(" "), "--help") })),
        )),
      );
    told.push({ name, parts });
  }
  return told;
}

/**
 * Starts asking.
 *
 * @param {...string} names Of commands; all when there is none.
 * @returns {Promise<import("./pages.mjs").Page>}
 */
export async function commandPages(...names) {
  const { stdout } = await run(process.execPath, [fileURLToPath(import.meta.url), ...names], { maxBuffer: 10_000_000 });
  const children = JSON.parse(stdout).map(({ name, parts }) => ({
    source: `commands/${name}.md`,
    url: `commands/${name}`,
    title: name,
    kind: "Command",
    text: [
      `# ${name}`,
      ...parts.flatMap((part, index) => [
        ...(index === 0 ? [] : [`## ${part.name}`]),
        `\`\`\`\n${part.text.trim()}\n\`\`\``,
      ]),
    ].join("\n\n"),
    children: [],
  }));
  return {
    source: "commands/index.md",
    url: "commands/index",
    title: "Commands",
    kind: "Command",
    text: [
      "# Commands",
      "What each command says with `--help`, from the commands themselves.",
      children.map(({ title }) => `- [${title}](${title}.md)`).join("\n"),
    ].join("\n\n"),
    children,
  };
}

if (argv[1] === fileURLToPath(import.meta.url)) process.stdout.write(JSON.stringify(await asked(argv.slice(2))));
