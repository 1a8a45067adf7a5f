/**
 * Writes a folder of generated files, all or nothing. A manifest in the folder remembers what was written, so that a
 * later run replaces only files that nobody has touched, and removes those that are no longer generated.
 */
import { renameSync, rmSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join, relative, resolve, sep } from "node:path";
import { UsageError } from "./errors.js";
import { sha256 } from "./stamp.js";

export type Files = ReadonlyMap<string, string | Uint8Array>;

const MANIFEST = ".imwire-gen.json";

interface Manifest {
  note: string;
  files: Record<string, string>;
}

/**
 * Makes `folder` hold just `files`.
 *
 * It is written beside the folder and moved into its place, so that an interruption or a full disk leaves the old one.
 *
 * @throws UsageError, with nothing changed, when the folder holds files that are not ours or were edited, when it is a
 * file, or when it cannot be written.
 */
export async function writeFolder(folder: string, files: Files): Promise<void> {
  const target = resolve(folder);
  await refuseToOverwrite(target, folder);
  const parent = dirname(target);
  let fresh: string | null = null;
  const interrupted = () => {
    if (fresh) rmSync(fresh, { recursive: true, force: true });
    process.exit(130);
  };
  process.once("SIGINT", interrupted).once("SIGTERM", interrupted);
  try {
    await mkdir(parent, { recursive: true });
    fresh = await mkdtemp(join(parent, `.${basename(target)}-`));
    await chmod(fresh, 0o777 & ~process.umask()); // mkdtemp makes it private
    const manifest: Manifest = {
      note: "Written by imwire-gen, which replaces these files. Do not edit them.",
      files: {},
    };
    for (const [path, content] of [...files].sort(([a], [b]) => (a < b ? -1 : 1))) {
      await mkdir(dirname(join(fresh, path)), { recursive: true });
      await writeFile(join(fresh, path), content);
      manifest.files[path] = sha256(content);
    }
    await writeFile(join(fresh, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`);
    swap(fresh, target, (await stat(target).catch(() => null)) !== null);
  } catch (error) {
    throw asUsageError(error, folder);
  } finally {
    process.off("SIGINT", interrupted).off("SIGTERM", interrupted);
    if (fresh) await rm(fresh, { recursive: true, force: true });
  }
}

/** Writes one file, by way of a neighbour, so that an interruption leaves the old one. */
export async function writeSingle(path: string, content: string | Uint8Array): Promise<void> {
  const target = resolve(path);
  const neighbour = join(dirname(target), `.${basename(target)}-${process.pid}`);
  try {
    const there = await stat(target).catch(() => null);
    if (there?.isDirectory()) throw new UsageError(`${path} is a folder: name a file to write to.`);
    await mkdir(dirname(target), { recursive: true });
    await writeFile(neighbour, content);
    await rename(neighbour, target);
  } catch (error) {
    throw asUsageError(error, path);
  } finally {
    await rm(neighbour, { force: true });
  }
}

/** In one go: a signal is only heard between two turns of the loop, and so never finds the folder gone. */
function swap(fresh: string, target: string, exists: boolean): void {
  const old = `${fresh}-old`;
  if (exists) renameSync(target, old);
  try {
    renameSync(fresh, target);
  } catch (error) {
    if (exists) renameSync(old, target);
    throw error;
  }
  rmSync(old, { recursive: true, force: true });
}

async function refuseToOverwrite(target: string, shown: string): Promise<void> {
  const there = await stat(target).catch(() => null);
  if (!there) return;
  if (!there.isDirectory()) throw new UsageError(`${shown} is a file: name a folder to write to.`);
  const found = (await readdir(target, { recursive: true, withFileTypes: true }))
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(target, join(entry.parentPath, entry.name)).split(sep).join("/"))
    .filter((path) => path !== MANIFEST);
  if (found.length === 0) return;
  const manifest = await readManifest(join(target, MANIFEST), shown);
  for (const path of found) {
    const written = manifest.files[path];
    if (written === undefined) {
      throw new UsageError(
        `${shown} holds ${path}, which imwire-gen did not write: nothing was changed. Choose another folder, or move the file away.`,
      );
    }
    if (written !== sha256(await readFile(join(target, path)))) {
      throw new UsageError(
        `${shown}/${path} was edited since it was generated: nothing was changed. Undo the edit, or delete the file.`,
      );
    }
  }
}

async function readManifest(path: string, shown: string): Promise<Manifest> {
  const text = await readFile(path, "utf8").catch(() => null);
  if (text === null) {
    throw new UsageError(
      `${shown} is not empty and was not written by imwire-gen: nothing was changed. Choose another folder.`,
    );
  }
  try {
    const manifest = JSON.parse(text) as Manifest;
    if (typeof manifest.files === "object" && manifest.files !== null) return manifest;
  } catch {
    // Said below.
  }
  throw new UsageError(`${shown}/${MANIFEST} is damaged: nothing was changed. Delete the folder, or choose another.`);
}

function asUsageError(error: unknown, shown: string): unknown {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === "EACCES" || code === "EPERM" || code === "EROFS")
    return new UsageError(`${shown} cannot be written: permission denied.`);
  if (code === "ENOSPC") return new UsageError(`${shown} cannot be written: the disk is full. Nothing was changed.`);
  if (code === "ENOTDIR" || code === "EEXIST")
    return new UsageError(`${shown} cannot be written: a part of its path is a file.`);
  if (code !== undefined && code.startsWith("E")) return new UsageError(`${shown} cannot be written: ${message}`);
  return error;
}
