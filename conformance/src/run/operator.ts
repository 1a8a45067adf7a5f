/** What an operator does in a case: to the server's process, and from behind. */
import type { Json, JsonValue, Step } from "../case/case.js";
import { numberValue } from "../case/notation.js";
import { CaseError, type Scope } from "../case/scope.js";
import { type ControlAct, type RunningServer, type ServerSettings, Unsupported } from "../subject/subject.js";
import { logLacks } from "./secrets.js";

/**
 * The step `server: …`.
 *
 * @param kept What the server is still to be told when a restart changes its settings.
 */
export async function serverDoes(
  server: RunningServer,
  act: JsonValue,
  kept: ServerSettings,
  scope: Scope,
): Promise<void> {
  if (typeof act === "object") {
    const { restart, logLacks: texts } = act as { restart?: Json; logLacks?: string[] };
    if (restart !== undefined) {
      const { clockAheadMs, ...more } = restart;
      const clock = clockAheadMs === undefined ? {} : { clockAheadMs: Number(numberValue(clockAheadMs, scope)) };
      return server.restart({ ...kept, ...more, ...clock } as ServerSettings);
    }
    if (server.log === undefined) throw new Unsupported("The suite did not start the server and cannot see its log.");
    return logLacks(server.log, texts ?? [], "server");
  }
  const acts: Record<string, () => Promise<void> | void> = {
    kill: () => server.kill(),
    stop: () => server.stop(),
    restart: () => server.restart(),
    pause: () => server.pause(),
    resume: () => server.resume(),
  };
  const perform = acts[String(act)];
  if (!perform) throw new CaseError(`a server cannot ${String(act)}`);
  await perform();
}

/** The step `control: …`. */
export async function controlDoes(
  server: RunningServer,
  scope: Scope,
  step: Step,
  deviceOf: (name: string) => { readonly user: string; readonly device: string },
): Promise<void> {
  const { control, ...more } = step["control"] as Json;
  const { user, users, group, conversation, device, as, ...rest } = more;
  const who = device === undefined ? undefined : deviceOf(String(device));
  const names = (list: JsonValue) => (list as string[]).map((name) => scope.user(name));
  const groupId = (name: JsonValue) => scope.names.groups.get(String(name)) ?? String(name);
  const values = Object.fromEntries(
    Object.entries(rest).map(([name, value]) => [
      name,
      Array.isArray(value)
        ? names(value)
        : typeof value === "boolean"
          ? value
          : name === "upTo"
            ? numberValue(value, scope).toString()
            : Number(numberValue(value, scope)),
    ]),
  );
  const act = {
    control,
    ...(user === undefined ? {} : { user: scope.user(String(user)) }),
    ...(who === undefined ? {} : { user: who.user, device: who.device }),
    ...(group === undefined ? {} : { group: groupId(group) }),
    ...(users === undefined ? {} : { users: names(users) }),
    ...(as === undefined || control === "token" ? {} : { as }),
    ...(conversation === undefined
      ? {}
      : {
          conversation:
            typeof conversation === "string" ? { group: groupId(conversation) } : { users: names(conversation) },
        }),
    ...values,
  };
  const answer = await server.control(act as unknown as ControlAct);
  if (control === "token") scope.variables.set(String(as), answer["token"]!);
}
