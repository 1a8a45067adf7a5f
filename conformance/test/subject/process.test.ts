import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, expect, test } from "vitest";
import { freePort, listens } from "../../src/subject/ports.ts";
import { emptyFolder, filled, notExecuted, Program, removeFolder } from "../../src/subject/process.ts";
import { fixture, gone, node } from "./world.ts";

const lines = (program: Program): { next(): Promise<string>; readonly all: string[] } => {
  const all: string[] = [];
  let taken = 0;
  let wake = () => {};
  program.onLine((line) => {
    all.push(line);
    wake();
  });
  return {
    all,
    async next() {
      while (all.length <= taken) await new Promise<void>((resolve) => (wake = resolve));
      return all[taken++]!;
    },
  };
};

describe("a command line", () => {
  test("means what it means in a terminal", async () => {
    const program = new Program(`NAME="a b"; echo "$NAME" 'c'; echo to-stderr 1>&2`);
    const { all } = lines(program);
    expect(await program.ended).toEqual({ code: 0, signal: null });
    expect(all).toEqual(["a b c"]);
    expect(program.stderrLines(5)).toEqual(["to-stderr"]);
  });

  test("has its placeholders filled, plain values also within quotes and others quoted", () => {
    const values = { port: "7800", data: "/tmp/a b's" };
    expect(filled(`x --p "{port}" -d={data} {other} \${port}`, values)).toBe(
      `x --p "7800" -d='/tmp/a b'\\''s' {other} $7800`,
    );
  });

  test("that names no program ends with a sentence that says what to do", async () => {
    const program = new Program("./there-is-none --port 1");
    await program.ended;
    expect(notExecuted(program)).toMatch(
      /^The command could not be run: \.\/there-is-none --port 1 \(.*not found\)\. Give/,
    );
  });

  test("is given what the suite has in its environment, and more", async () => {
    const program = new Program(`echo "$MORE $PATH"`, { env: { MORE: "more" } });
    const { all } = lines(program);
    await program.ended;
    expect(all).toEqual([`more ${process.env["PATH"]}`]);
  });
});

describe("a program", () => {
  test("is killed with all that it started", async () => {
    const port = await freePort();
    const program = new Program(`${node(fixture("server.mjs"), "byLine", `${port}`)} & wait`);
    await lines(program).next();
    expect((await program.kill()).signal).toBe("SIGKILL");
    expect(await listens("127.0.0.1", port, 1000)).toBe(false);
  });

  test("is ended with all that it started when only its first process ends", async () => {
    const port = await freePort();
    const program = new Program(`${node(fixture("server.mjs"), "byLine", `${port}`)} & read line; exit 4`);
    await lines(program).next();
    program.write("go");
    expect(await program.ended).toEqual({ code: 4, signal: null });
    expect(await listens("127.0.0.1", port, 1000)).toBe(false);
    expect(program.obituary).toBe("ended with exit code 4, and wrote nothing to stderr");
  });

  test("may end in its own way when it is stopped, and is killed when it does not", async () => {
    const port = await freePort();
    const good = new Program(`trap 'echo bye; exit 5' TERM; echo ready; while :; do read line || exit; done`);
    const heard = lines(good);
    await heard.next();
    const ended = good.stop(10_000);
    // The shell takes the signal behind its command.
    good.write("");
    expect(await ended).toEqual({ code: 5, signal: null });
    expect(heard.all).toEqual(["ready", "bye"]);
    const bad = new Program(node(fixture("server.mjs"), "stubborn", `${port}`));
    await lines(bad).next();
    await bad.stop(50);
    expect(await listens("127.0.0.1", port, 1000)).toBe(false);
  });

  test("that is paused answers nothing, and goes on", async () => {
    const program = new Program(`echo $$; while read line; do echo "$line"; done`);
    const heard = lines(program);
    await heard.next();
    program.pause();
    program.write("one");
    program.resume();
    expect(await heard.next()).toBe("one");
    program.pause();
    // A stop reaches it all the same.
    expect((await program.stop(10_000)).signal).toBe("SIGTERM");
  });

  test("may write lines in pieces, of any length", async () => {
    const program = new Program(
      node(
        "-e",
        "process.stdout.write('\\u00e4'.repeat(3e5)+String.fromCharCode(13,10)+'b'+String.fromCharCode(10)+'c')",
      ),
    );
    const { all } = lines(program);
    await program.ended;
    expect(all.map((line) => line.length)).toEqual([300_000, 1]);
  });
});

describe("the suite's end", () => {
  const suite = (way: string, port: number) =>
    spawn(process.execPath, [fixture("suite.mjs"), way, node(fixture("server.mjs"), "byLine", `${port}`)], {
      stdio: ["ignore", "pipe", "ignore"],
    });

  test.each(["throws", "exits", "SIGINT", "SIGTERM"])("takes programs and folders along: %s", async (way) => {
    const port = await freePort();
    const child = suite(way === "throws" || way === "exits" ? way : "waits", port);
    const ended = once(child, "close");
    const [folder] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
    if (way.startsWith("SIG")) {
      const server = gone(port);
      await server.connected;
      child.kill(way as NodeJS.Signals);
      await server.closed;
    }
    const [code, signal] = (await ended) as [number | null, string | null];
    expect(signal ?? code).toBe(way === "throws" ? 1 : way === "exits" ? 0 : way);
    expect(existsSync(folder)).toBe(false);
    // The signal has been given; the kernel may still be at it.
    await gone(port).closed;
    expect(await listens("127.0.0.1", port, 1000)).toBe(false);
  });

  test("folders are empty, and go with what is in them", () => {
    const folder = emptyFolder();
    expect(readdirSync(folder)).toEqual([]);
    writeFileSync(join(folder, "x"), "");
    removeFolder(folder);
    expect(existsSync(folder)).toBe(false);
  });
});
