/** What each call of the API needs: the one table. */
import type { ExecutorServiceService } from "../../gen/executor/v1/executor.js";
import type { Right } from "../../tasks/access/rules.js";

/** Without a row here a call does not compile, and is nobody's. */
export const RIGHTS: Readonly<Record<keyof typeof ExecutorServiceService, Right>> = {
  configure: "change",
  limit: "change",
  start: "change",
  wait: "see",
  get: "see",
  list: "see",
  logs: "see",
  run: "change",
  delete: "change",
  getServerInfo: "know",
  shutdown: "change",
  forceStop: "change",
  open: "change",
};

const SERVICE = "/executor.v1.ExecutorService/";

/** Health is told to whoever asks, so that probes need no credentials. */
const PUBLIC = "/grpc.health.v1.Health/";

/** Of a method by its path, "/executor.v1.ExecutorService/Wait"; "anybody": no credentials are asked for. */
export function rightFor(path: string): Right | "anybody" {
  if (path.startsWith(PUBLIC)) return "anybody";
  if (!path.startsWith(SERVICE)) return "know";
  const method = path.slice(SERVICE.length);
  const name = `${method.charAt(0).toLowerCase()}${method.slice(1)}`;
  // What has no row may be anything.
  return Object.hasOwn(RIGHTS, name) ? RIGHTS[name as keyof typeof RIGHTS] : "change";
}
