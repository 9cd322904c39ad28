/** What is said of what has failed, and what to do next; and the exit status for it. */
import { StockadeError } from "../client/index.js";
import { printable } from "./printable.js";
import { UsageError } from "./usage-error.js";

/** Of what is no task's end. */
export const OUR_FAILURE = 125;
const NOT_EXECUTABLE = 126;
const NOT_FOUND = 127;

/** As shells have it: a command that is not there, one that cannot be executed, or none of the task's business. */
export function failureStatus(error: unknown): number {
  if (!(error instanceof StockadeError) || error.reason !== "COMMAND_NOT_EXECUTABLE") return OUR_FAILURE;
  return error.metadata["errno"] === "ENOENT" ? NOT_FOUND : NOT_EXECUTABLE;
}

const HINTS: Readonly<Record<string, string>> = {
  TASK_NOT_FOUND: "'stockade ps -a' lists those that there are",
  TASK_EXISTS: "wait for its end, stop it, or give this one another --name",
  UNENFORCEABLE: "ask for less, or let it run without by --allow-unenforced",
  USER_UNKNOWN: "--user takes one of the daemon's host, or a number with --group",
  GROUP_UNKNOWN: "--group takes one of the daemon's host, or a number",
  USER_FORBIDDEN: "without --user it is nobody, or the daemon's own user",
  GROUP_FORBIDDEN: "--group takes one that the user is a member of; without it, it is the user's own",
  ROLE_FORBIDDEN: "another certificate or token may have a role that does",
  COMMAND_NOT_EXECUTABLE: "--volume shows the task a path of the host, and --file brings a file along",
  SANDBOX_FAILED: "correct the flag that asks for it (--workdir, --volume, --file), or the daemon's host",
  MEMORY_IN_USE: "give it more by --memory",
  LIMIT_REFUSED: "ask for another value; 'stockade info' tells how much there is",
  LINK_BYTES_EXCEEDED: "the daemon's configuration says how much may be copied (link_bytes)",
  TOO_MANY_TASKS: "try again when one has ended",
  TOO_MANY_STREAMS: "try again when others have ended",
  TOO_MANY_CALLS: "try again when others have ended",
  TOO_MANY_CONNECTIONS: "try again when another program has closed its own",
  UNSTARTED_BYTES_EXCEEDED: "try again when some of them have been started",
  HOST_EXHAUSTED: "try again later; 'stockade info' tells how much there is",
  REQUEST_TOO_SLOW: "try again with less to send: what is large is mounted, by --volume",
  STOPPING: "try again in a moment",
  HELPER_GONE: "try again in a moment",
  PATH_FORBIDDEN: "the daemon's configuration says what may be mounted (allowed_paths)",
  OFFSET_BEYOND_END: "a loss of power can shorten a log; 'stockade logs' prints what is left of it",
  LOG_GONE: "'stockade wait' tells how it ended",
  ENDED: "'stockade wait' tells how it ended",
  NOT_ENDED: "'stockade stop' ends it, and 'stockade rm -f' ends and removes it",
  NOT_REATTACHED: "run it again",
  INTERNAL: "try again, and report it with what is said there",
};

/** What people have typed of what the daemon calls by the name of a field: `mounts` of "configure.mounts[0].source". */
export const FIELD_FLAGS: Readonly<Record<string, string>> = {
  alloc_id: "--alloc, or --name without it",
  task_name: "--name",
  user: "--user",
  group: "--group, or --user USER:GROUP",
  env: "--env",
  work_dir: "--workdir",
  mounts: "--volume",
  labels: "--label",
  timeout: "--timeout",
  cpu_time_limit: "--cpu-time",
  memory_bytes: "--memory",
  memory_reservation_bytes: "--memory-reservation",
  cpu_millis: "--cpus",
  cpu_shares: "--cpu-shares",
  cpuset_cpus: "--cpuset-cpus",
  pids_max: "--pids",
  files: "--file",
  collect: "--collect",
};

/** What is wrong is what was typed. */
const OF_FLAGS: readonly string[] = ["FIELD_INVALID", "FIELD_MISSING", "FIELDS_EXCLUSIVE"];

const DISTRUSTED: Readonly<Record<string, string>> = {
  SERVER_UNTRUSTED: "--tls-ca names whom to trust, and --tls-server-name the name in the certificate",
  CLIENT_UNTRUSTED: "--tls-cert and --tls-key give one",
};

/** In grpc-js's words, of a connection that the other end has closed before it said anything. */
const CLOSED = /ECONNRESET|EPIPE|Socket closed|Failed to connect|Connection dropped/;

const WHY_CLOSED =
  "it closes the connection; it may speak TLS alone (--tls-ca), or not trust this client's certificate (--tls-cert)";

const TOO_LARGE =
  "what the task is given, standard input and files together, has more than 4 MiB: what is larger is mounted, by --volume";

/** One line for people, without what a terminal would obey. `verb`: whose --help is to be read. */
export function complaint(error: unknown, host: string, verb = ""): string {
  if (error instanceof UsageError) {
    return `${printable(error.message)}; ${seeHelp(verb)}`;
  }
  // What the client makes a request of before any daemon has it.
  if (error instanceof TypeError && error.message.includes(" must be ")) {
    return `${printable(error.message)}; ${seeHelp(verb)}`;
  }
  if (!(error instanceof StockadeError)) {
    return printable(error instanceof Error ? error.message : String(error));
  }
  const { code, reason, field, message } = error;
  if (code === "UNAVAILABLE" && reason === undefined) return unreachable(message, host);
  const distrusted = DISTRUSTED[reason ?? ""];
  if (distrusted !== undefined) return printable(`${host}: ${message}; ${distrusted}`);
  // Of what is sent alone: nothing that a daemon answers is as large.
  if (code === "RESOURCE_EXHAUSTED" && message.includes("larger than max")) return TOO_LARGE;
  if (code === "UNAUTHENTICATED") {
    return `${printable(message)}; give a certificate (--tls-cert, --tls-key) or a token (--token-file)`;
  }
  const hint = OF_FLAGS.includes(reason ?? "") ? seeHelp(verb) : hintOf(error);
  const at = placeOf(field, message, hint);
  return printable(`${message}${at}${hint === undefined ? "" : `; ${hint}`}`);
}

/** Of what a request is made of; what is no flag's is called as the daemon does. */
function placeOf(field: string | undefined, message: string, hint = ""): string {
  if (field === undefined) return "";
  const [, name = ""] =
    /^(?:configure|resources)\.([a-z_]+)/.exec(field) ?? /^(files|collect)\b/.exec(field) ?? [];
  const flag = FIELD_FLAGS[name];
  if (flag !== undefined) return hint.includes(flag) ? "" : ` (${flag})`;
  return message.includes(field) ? "" : ` (${field})`;
}

function hintOf({ reason = "", metadata, field = "", message }: StockadeError): string | undefined {
  const lacksMemory = reason === "COMMAND_NOT_EXECUTABLE" && metadata["errno"] === "ENOMEM";
  const hint = HINTS[lacksMemory ? "MEMORY_IN_USE" : reason];
  // What docker mounts to be written where nothing is said.
  const toWrite = reason === "PATH_FORBIDDEN" && field.includes("mounts") && message.includes("to write");
  return toWrite ? `SRC:DST:ro mounts it read-only, and ${hint}` : hint;
}

function seeHelp(verb: string): string {
  return `see 'stockade ${verb === "" ? "" : `${verb} `}--help'`;
}

function unreachable(message: string, host: string): string {
  const where = `the daemon cannot be reached at ${printable(host)}`;
  if (message.includes("EACCES")) return `${where}: this user may not; ask as the socket's owner, or by sudo`;
  if (/certificate|TLS|SSL/i.test(message)) return `${where}: ${printable(message)}`;
  if (CLOSED.test(message)) return `${where}: ${WHY_CLOSED}`;
  return `${where}: is it running? start it with 'stockaded', or name another with --host`;
}
