/**
 * The rooms of src/ and what each may know: `rpc → tasks ← host, store`, `cli → client → gen`. Files directly in
 * src/ wire the daemon together and may know everything.
 */
import { readFileSync, readdirSync } from "node:fs";
import { join, relative } from "node:path";
import ts from "typescript";

const SRC = join(__dirname, "../../src");

interface Room {
  /** Other rooms that it may import. */
  readonly rooms: readonly string[];
  /** What it may import of RESTRICTED. */
  readonly powers?: readonly string[];
  readonly why: string;
}

const ROOMS: Readonly<Record<string, Room>> = {
  tasks: { rooms: [], why: "what a task is depends on no transport, no host and no disk" },
  config: { rooms: ["tasks"], why: "a configuration is values, checked" },
  host: { rooms: ["tasks"], powers: ["files"], why: "it implements the ports of tasks/" },
  store: { rooms: ["tasks"], powers: ["files"], why: "it implements the ports of tasks/" },
  rpc: { rooms: ["tasks", "gen"], powers: ["grpc"], why: "it converts between the API and tasks/, no more" },
  client: {
    rooms: ["gen"],
    powers: ["grpc"],
    why: "it is an SDK, for programs that have nothing else of ours",
  },
  cli: { rooms: ["client"], why: "it is built on the SDK alone" },
};

/**
 * What not every room may import. Programs are nobody's: a fork copies Node's page tables and stops its event loop,
 * so that nothing on a task's path may fork it (EXCEPTIONS has who does, and when).
 */
const RESTRICTED: Readonly<Record<string, RegExp>> = {
  files: /^(node:)?fs(\/promises)?$/,
  programs: /^(node:)?(child_process|cluster)$/,
  grpc: /^(@grpc\/|grpc-)/,
  systeminformation: /^systeminformation(\/|$)/,
};

/** Files that may do more than their room. */
const EXCEPTIONS: Readonly<Record<string, readonly string[]>> = {
  // The demo starts a daemon of its own, in directories of its own.
  "cli/demo.ts": ["files"],
  "cli/own-daemon.ts": ["files", "programs"],
  // Certificates, keys and tokens that flags name.
  "cli/host.ts": ["files"],
  // What `stockade run` brings along and collects.
  "cli/local-files.ts": ["files"],
  // The launcher, once, before the daemon takes its first task.
  "host/helper/launcher.ts": ["programs"],
  // The helper that tries an idmapped mount, once, before the daemon takes its first task.
  "host/fingerprint.ts": ["programs"],
  // Most of it starts programs: test/e2e/server-info.test.ts watches that what is used does not.
  "host/fingerprint-resources.ts": ["systeminformation"],
  // The lock's helper, for each directory once, before the launcher.
  "host/lock.ts": ["programs"],
  // The helper that tells a service manager that the daemon serves, once.
  "host/service-manager.ts": ["programs"],
  // newuidmap and newgidmap, once each, before the launcher makes its first task.
  "host/subordinate-ids.ts": ["programs"],
  // The file that --config names, and nothing else.
  "config/config-file.ts": ["files"],
};

/** The packages that src/ may import: what is used of them is done in the daemon, and starts no program. */
const PACKAGES =
  /^(systeminformation|@bufbuild\/protobuf|@grpc\/(grpc-js|proto-loader|reflection)|grpc-health-check)(\/|$)/;

/** Programs' entries: argv and the environment come in here, and go on as values. */
const ENTRIES = ["main.ts", "cli/main.ts"];

const files = readdirSync(SRC, { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".ts") && !file.startsWith("gen/"))
  .sort();

it("no room imports another that it must not know", () => {
  expect(files.flatMap((file) => importsOf(file).flatMap((path) => reachesTooFar(file, path)))).toEqual([]);
});

it("files, programs and gRPC are touched only where they belong", () => {
  expect(files.flatMap((file) => importsOf(file).flatMap((path) => usesTooMuch(file, path)))).toEqual([]);
});

it("nothing on a task's path forks Node: only those that start the launcher, a lock's helper and a daemon do", () => {
  const mayStart = Object.keys(EXCEPTIONS).filter((file) => EXCEPTIONS[file]?.includes("programs"));
  const start = files.filter((file) => importsOf(file).some((path) => RESTRICTED["programs"]?.test(path)));
  expect(start).toEqual(mayStart.sort());
  const foreign = files.flatMap((file) => importsOf(file).filter((path) => !/^(\.|node:)/.test(path)));
  expect(foreign.filter((path) => !PACKAGES.test(path))).toEqual([]);
});

it("the SDK needs gRPC, the generated code and its runtime, and nothing else", () => {
  const imported = files.filter((file) => file.startsWith("client/")).flatMap(importsOf);
  const foreign = imported.filter((path) => !/^(\.|node:)/.test(path));
  expect(foreign.filter((path) => !/^(@bufbuild\/protobuf|@grpc\/grpc-js)(\/|$)/.test(path))).toEqual([]);
});

it("argv and the environment are read only where a program begins", () => {
  const readers = files.filter((file) => !ENTRIES.includes(file) && readsArgvOrEnv(file));
  expect(readers).toEqual([]);
});

it("the rules find what breaks them", () => {
  expect(reachesTooFar("rpc/server.ts", "../host/users.js")).toHaveLength(1);
  expect(reachesTooFar("host/cgroup/v2.ts", "../../rpc/server.js")).toHaveLength(1);
  expect(reachesTooFar("rpc/server.ts", "../tasks/task.js")).toEqual([]);
  expect(usesTooMuch("tasks/task.ts", "node:fs/promises")).toHaveLength(1);
  expect(usesTooMuch("host/users.ts", "node:fs/promises")).toEqual([]);
  expect(usesTooMuch("host/users.ts", "node:child_process")).toHaveLength(1);
  expect(usesTooMuch("host/lock.ts", "node:child_process")).toEqual([]);
  expect(usesTooMuch("host/fingerprint.ts", "systeminformation")).toHaveLength(1);
  expect(usesTooMuch("host/fingerprint-resources.ts", "systeminformation")).toEqual([]);
});

/** The room of a file, by its path below src/; undefined: it is directly in src/. */
function roomOf(file: string): string | undefined {
  const [room, ...rest] = file.split("/");
  return rest.length === 0 ? undefined : room;
}

function ruleOf(room: string): Room {
  const rule = ROOMS[room];
  if (rule === undefined) throw new Error(`src/${room} is a room without rules`);
  return rule;
}

function reachesTooFar(file: string, path: string): string[] {
  const from = roomOf(file);
  if (from === undefined || !path.startsWith(".")) return [];
  const to = roomOf(relative(SRC, join(SRC, file, "..", path)));
  const { rooms, why } = ruleOf(from);
  if (to === from || (to !== undefined && rooms.includes(to))) return [];
  return [`src/${file} imports "${path}", but ${from} may know only [${rooms.join(", ")}]: ${why}`];
}

function usesTooMuch(file: string, path: string): string[] {
  const from = roomOf(file);
  if (from === undefined) return [];
  const allowed = [...(ruleOf(from).powers ?? []), ...(EXCEPTIONS[file] ?? [])];
  return Object.entries(RESTRICTED)
    .filter(([power, pattern]) => pattern.test(path) && !allowed.includes(power))
    .map(([power]) => `src/${file} imports "${path}", but ${from} has no business with ${power}`);
}

function read(file: string): string {
  return readFileSync(join(SRC, file), "utf8");
}

function importsOf(file: string): string[] {
  return ts.preProcessFile(read(file)).importedFiles.map(({ fileName }) => fileName);
}

function readsArgvOrEnv(file: string): boolean {
  const reads = (node: ts.Node): boolean =>
    (ts.isPropertyAccessExpression(node) && /^process\.(argv|env)$/.test(node.getText())) ||
    ts.forEachChild(node, (child) => reads(child) || undefined) === true;
  return reads(ts.createSourceFile(file, read(file), ts.ScriptTarget.Latest, true));
}
