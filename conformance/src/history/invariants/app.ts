/** What a history says of applications: their sends by id, and what their users did to them. */
import { isObject, keyOf, textOf } from "./read.js";
import type { View } from "./view.js";

export interface AppSends {
  /** By device and ref. */
  idOf(device: string, ref: string): string;
  /** The user or the application has touched the send of this id: resent it, or withdrawn it. */
  touched(device: string, id: string): boolean;
}

const known = new WeakMap<View, AppSends>();

export function appSendsOf(view: View): AppSends {
  const before = known.get(view);
  if (before) return before;
  const ids = new Map<string, string>();
  const commands = new Map<string, string>();
  const touchedRefs: [device: string, ref: string][] = [];
  const key = (device: string, name: unknown) => keyOf(device, String(name));
  for (const step of view.steps) {
    if (step.kind !== "app") continue;
    const { device, direction } = step.event;
    const { message } = step;
    const ref = textOf(message["ref"]);
    if (direction === "toApp") {
      if (message["do"] === "send") commands.set(key(device, message["id"]), ref);
      if (message["do"] === "resend" || message["do"] === "withdraw") touchedRefs.push([device, ref]);
      continue;
    }
    const id = textOf(message["clientMsgId"]);
    if (id === "") continue;
    const of = ref !== "" ? ref : message["event"] === undefined ? commands.get(key(device, message["id"])) : undefined;
    if (of !== undefined) ids.set(key(device, of), id);
  }
  const touched = new Set<string>();
  /** Devices of which a send was touched that nobody can name. */
  const unknown = new Set<string>();
  for (const [device, ref] of touchedRefs) {
    const id = ids.get(key(device, ref));
    if (id === undefined) unknown.add(device);
    else touched.add(key(device, id));
  }
  const sends: AppSends = {
    idOf: (device, ref) => ids.get(key(device, ref)) ?? "",
    touched: (device, id) => unknown.has(device) || touched.has(key(device, id)),
  };
  known.set(view, sends);
  return sends;
}

/**
 * The installation behind a device's name: it changes when the application starts on another folder or as another
 * device, so that nothing that is said of one holds for the other.
 */
export class Installations {
  readonly #of = new Map<string, { name: string; count: number; key: string }>();

  take(device: string, message: unknown): void {
    if (!isObject(message) || message["do"] !== "start") return;
    const name = JSON.stringify([message["data"] ?? "", message["device"] ?? ""]);
    const now = this.#of.get(device);
    if (now?.name === name) return;
    const count = now ? now.count + 1 : 0;
    this.#of.set(device, { name, count, key: keyOf(device, count) });
  }

  key(device: string): string {
    return this.#of.get(device)?.key ?? keyOf(device, 0);
  }
}
