import { isAbsolute, join } from "node:path";

import { ConfigError } from "./config-error.js";

export type Environment = Readonly<Record<string, string | undefined>>;

/** Where the daemon keeps its things unless a flag says otherwise. Source for root: FHS 3.0, 3.15 and 5.8. */
const ROOT_STATE_DIR = "/var/lib/stockade";
const ROOT_SOCKET = "/run/stockade/stockaded.sock";

/** A plain user's: $XDG_STATE_HOME, or ~/.local/state. Source: XDG Base Directory Specification 0.8. */
export function defaultStateDir(root: boolean, env: Environment): string {
  if (root) return ROOT_STATE_DIR;
  const home = absolute(env["HOME"]);
  const state =
    absolute(env["XDG_STATE_HOME"]) ?? (home === undefined ? undefined : join(home, ".local/state"));
  if (state === undefined) {
    throw new ConfigError("--state-dir is required where neither XDG_STATE_HOME nor HOME is set");
  }
  return join(state, "stockade");
}

/** A plain user's: in $XDG_RUNTIME_DIR, or in the state directory where there is none. */
export function defaultSocket(root: boolean, env: Environment, stateDir: string): string {
  if (root) return ROOT_SOCKET;
  const runtime = absolute(env["XDG_RUNTIME_DIR"]);
  return runtime === undefined ? join(stateDir, "stockaded.sock") : join(runtime, "stockade/stockaded.sock");
}

/** The specification has relative paths ignored. */
function absolute(path: string | undefined): string | undefined {
  return path !== undefined && isAbsolute(path) ? path : undefined;
}
