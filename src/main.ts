/**
 * The daemon: reads its configuration, builds the parts, wires them, listens, stops.
 * Only here: argv, process.env and signals.
 */
import { resolve } from "node:path";

import type { Config } from "./config/config.js";
import { ConfigError } from "./config/config-error.js";
import { load, usage, VERSION } from "./config/load.js";
import { claimRoot } from "./host/cgroup/owner.js";
import { CgroupsUnusable, openCgroupRoot, type CgroupRoot, type RemoveOptions } from "./host/cgroup/root.js";
import { openDirectories } from "./host/directories.js";
import type { Launcher } from "./host/helper/launcher.js";
import { LinuxPaths } from "./host/host-paths.js";
import { checkKernel } from "./host/kernel.js";
import { lockDirectory } from "./host/lock.js";
import { StderrLog } from "./host/log.js";
import { isRoot, launchAsPlainUser, launchAsRoot, type Launched } from "./host/privileges.js";
import { probeSandbox } from "./host/probe.js";
import { clearSocket, restrictSocket } from "./host/socket.js";
import { HostUsers } from "./host/users.js";
import { checkSelf } from "./rpc/self-check.js";
import { RpcServer } from "./rpc/server.js";
import { TaskStore } from "./store/task-store.js";
import { Executor } from "./tasks/executor.js";
import { Undo } from "./tasks/concurrency/undo.js";
import type { Unenforced } from "./tasks/unenforced.js";

/** Writes to cgroup files can block while the kernel reclaims: one must not hold up the others. */
const IO_THREADS = "16";

/** How long calls under way may take once the daemon stops, in milliseconds. */
const STOP_GRACE_MS = 1_000;

/** How long a daemon may take to stop after a defect, which may be what keeps it from stopping, in milliseconds. */
const DEFECT_STOP_MS = 30_000;

/** Exit status of a daemon whose configuration cannot be. */
const EXIT_USAGE = 2;

const HELPER = resolve(__dirname, "../bin/stockade-helper");

async function main(log: StderrLog): Promise<void> {
  process.env["UV_THREADPOOL_SIZE"] ??= IO_THREADS;
  // Nothing that the daemon makes is for others, not even for a moment.
  process.umask(0o077);
  const asked = load(process.argv.slice(2), process.env);
  switch (asked.kind) {
    case "help":
      process.stdout.write(usage());
      return;
    case "version":
      process.stdout.write(`stockaded ${VERSION}\n`);
      return;
    case "serve":
      return serve(asked.config, log);
  }
}

async function serve(config: Config, log: StderrLog): Promise<void> {
  const stopAsked = new Promise<string>((stop) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, stop);
  });
  const defect = defectOf(log);
  const undo = new Undo();
  try {
    const launcher = await build(config, log, undo);
    const why = await Promise.race([stopAsked, launcher.gone, defect]);
    if (why instanceof Error) throw why;
    log.info("stopping", { signal: why });
  } finally {
    await undo.run((error) => log.error("cannot stop a part of the daemon", { error }));
  }
}

/**
 * Resolves with the first error that nobody has caught. What it has left half done cannot be known, so the daemon
 * stops as it does when asked to, and ends its tasks: those of one that just dies would run on unwatched.
 */
function defectOf(log: StderrLog): Promise<Error> {
  return new Promise((resolve) => {
    const stop = (error: unknown): void => {
      log.error("an error that nobody has caught", { error });
      setTimeout(() => process.exit(1), DEFECT_STOP_MS).unref();
      resolve(new Error("stopped after an error that nobody has caught", { cause: error }));
    };
    process.on("uncaughtException", stop);
    process.on("unhandledRejection", stop);
  });
}

/** Builds the parts in the order they depend on each other. The daemon ends when its launcher does. */
async function build(config: Config, log: StderrLog, undo: Undo): Promise<Launcher> {
  checkKernel();
  if (isRoot()) await checkInitUid(config.initUid);
  const own = await openDirectories(HELPER, config.stateDir, config.allocDir);
  undo.add(() => Promise.all(own.locks.map((lock) => lock.close())));
  const records = new TaskStore(own.tasks);
  const { cgroups, unusable } = await findCgroups(config, own.stateId, undo);
  const swept = { cgroups: (await cgroups?.sweep({ inits: true })) ?? 0, records: await records.sweep() };
  if (swept.cgroups + swept.records > 0) log.info("removed what an earlier daemon left", swept);

  const { launcher, privileges } = await launch(config, cgroups, undo);
  const unenforced = [...privileges.unenforced, ...unusable];
  await probeSandbox(launcher, cgroups?.host, records, privileges.probeUser);

  const paths = new LinuxPaths(config.allocDir);
  const executor = new Executor({
    users: new HostUsers({ initUid: config.initUid, only: privileges.onlyUser }),
    allowedPaths: config.allowedPaths,
    sandboxes: launcher,
    paths,
    cgroups: cgroups?.host,
    records,
    log,
    unenforced,
    retention: {
      endedTtlMs: config.endedTtlMs,
      endedMaxRecords: config.endedMaxRecords,
      maxTasks: config.maxTasks,
    },
    unstartedTtlMs: config.unstartedTtlMs,
    unstartedBytes: config.unstartedBytes,
  });
  await listen(config, executor, log, undo);
  log.info("ready", {
    version: VERSION,
    listen: config.listen,
    cgroups: cgroups === undefined ? "none" : `${cgroups.mode} ${cgroups.root}`,
    unenforced: unenforced.map(({ name }) => name),
  });
  return launcher;
}

/** No task may have init's uid: a user who has it could run none. */
async function checkInitUid(initUid: number): Promise<void> {
  const name = await new HostUsers({ initUid, only: undefined }).nameOf(initUid);
  if (name === undefined) return;
  throw new ConfigError(
    `--config: init_uid ${initUid} is the uid of '${name}' in /etc/passwd, and must be nobody's`,
  );
}

interface FoundCgroups {
  readonly cgroups: CgroupRoot | undefined;
  /** Why there are none, where there could be. */
  readonly unusable: readonly Unenforced[];
}

/** A root that was named must be had; without one, tasks can do without cgroups, which is then reported. */
async function findCgroups(config: Config, stateId: string, undo: Undo): Promise<FoundCgroups> {
  if (!isRoot()) return { cgroups: undefined, unusable: [] };
  try {
    return { cgroups: await ownCgroupRoot(config, stateId, undo), unusable: [] };
  } catch (error) {
    if (!(error instanceof CgroupsUnusable) || config.cgroupRoot !== undefined) throw error;
    return { cgroups: undefined, unusable: [{ name: "cgroup", reason: error.reason }] };
  }
}

async function ownCgroupRoot(config: Config, stateId: string, undo: Undo): Promise<CgroupRoot> {
  const root = await openCgroupRoot(config.cgroupRoot === undefined ? {} : { root: config.cgroupRoot });
  // Whoever does not hold the lock removes nothing: another daemon may be about to use what is there.
  const lock = await lockDirectory(HELPER, root.lockDir);
  undo.add(() => lock.close());
  let removal: RemoveOptions = {};
  undo.add(() => root.remove(removal));
  const claim = await claimRoot(root.lockDir, root.root, stateId);
  removal = { killInits: true, all: claim.wasOurs };
  undo.add(() => claim.release());
  return root;
}

async function launch(config: Config, cgroups: CgroupRoot | undefined, undo: Undo): Promise<Launched> {
  const defaults = {
    allocRoot: config.allocDir,
    initUid: config.initUid,
    cgroupPrefix: cgroups?.shownPrefix ?? "",
    tmpBytes: config.tmpBytes,
    shmBytes: config.shmBytes,
    logBytes: config.logBytes,
    linkBytes: config.linkBytes,
  };
  const launched = isRoot()
    ? await launchAsRoot(HELPER, defaults, async (pid) => cgroups?.moveToInits(pid))
    : await launchAsPlainUser(HELPER, defaults);
  undo.add(() => launched.launcher.stop());
  return launched;
}

async function listen(config: Config, executor: Executor, log: StderrLog, undo: Undo): Promise<void> {
  const server = new RpcServer(executor, (error) => log.error("internal error", { error }));
  // Taken down in reverse: no new tasks, then the end of all, which answers those who wait, then the server.
  undo.add(() => server.stop(STOP_GRACE_MS));
  undo.add(() => executor.stop());
  for (const address of config.listen) {
    if (address.kind === "unix") await clearSocket(address.path);
    await server.listen(address.text);
    if (address.kind === "unix") {
      await restrictSocket(address.path);
      await checkSelf(address.text);
    }
  }
  server.setServing(true);
  undo.add(() => server.setServing(false));
}

const daemonLog = new StderrLog();
main(daemonLog).then(
  // Streams of clients that are slow to go must not keep a daemon that has stopped.
  () => process.exit(0),
  (error: unknown) => {
    if (error instanceof ConfigError) process.stderr.write(`stockaded: ${error.message}\n`);
    else daemonLog.error(error instanceof Error ? error.message : String(error), { error });
    process.exit(error instanceof ConfigError ? EXIT_USAGE : 1);
  },
);
