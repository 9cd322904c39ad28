/**
 * The daemon's parts: builds them in the order they depend on each other, and wires them. main.ts loads this once it
 * has a configuration: what it is told wrongly is answered before all of this is read.
 */
import { resolve } from "node:path";

import { AccessReload, readAccess } from "./access-reload.js";
import type { Config } from "./config/config.js";
import { ConfigError } from "./config/config-error.js";
import type { ListenAddress } from "./config/listen-address.js";
import { VERSION } from "./config/load.js";
import { claimRoot } from "./host/cgroup/owner.js";
import { CgroupsUnusable, openCgroupRoot, type CgroupRoot } from "./host/cgroup/root.js";
import { openDirectories } from "./host/directories.js";
import { fingerprint } from "./host/fingerprint.js";
import { LauncherKeeper } from "./host/helper/launcher-keeper.js";
import { LinuxPaths } from "./host/host-paths.js";
import { bootId, checkKernel } from "./host/kernel.js";
import { lockDirectory } from "./host/lock.js";
import type { StderrLog } from "./host/log.js";
import { isRoot, launchAsPlainUser, launchAsRoot, type Privileges } from "./host/privileges.js";
import { probeSandbox } from "./host/probe.js";
import { tellServing } from "./host/service-manager.js";
import { clearSocket, giveSocket, type SocketRights } from "./host/socket.js";
import { HostUsers } from "./host/users.js";
import { checkTls } from "./rpc/access/remote.js";
import { checkSelf } from "./rpc/self-check.js";
import { RpcServer } from "./rpc/server.js";
import { TaskStore } from "./store/task-store.js";
import type { Access } from "./tasks/access/entry.js";
import { TaskError } from "./tasks/errors.js";
import { Executor } from "./tasks/executor.js";
import type { Undo } from "./tasks/concurrency/undo.js";
import type { Unenforced } from "./tasks/unenforced.js";

/** How long calls under way may take once the daemon stops, in milliseconds. */
const STOP_GRACE_MS = 1_000;

const HELPER = resolve(__dirname, "../bin/stockade-helper");

export interface ServeParts {
  readonly config: Config;
  /** Reads the configuration again. Throws a ConfigError. */
  readonly configure: () => Config;
  readonly log: StderrLog;
  readonly undo: Undo;
  /** Where a service manager wants to hear that the daemon serves, if one does. */
  readonly notifySocket: string | undefined;
}

export interface Served {
  /** The daemon ends when it has no launcher and can make none: why. */
  readonly launcherGone: Promise<Error>;
  /** Puts in force what the files now say of who may connect. */
  readonly reload: () => Promise<void>;
}

/** Serves from when this resolves. */
export async function serve(parts: ServeParts): Promise<Served> {
  const { config, log, undo, notifySocket } = parts;
  checkKernel();
  if (isRoot()) await checkInitUid(config.initUid);
  const access = await checkedAccess(config);
  const rights = await socketRights(config);
  const own = await openDirectories(HELPER, config.stateDir, config.allocDir);
  undo.add(() => Promise.all(own.locks.map((lock) => lock.close())));
  const records = new TaskStore(own.tasks, log);
  const { cgroups, unusable } = await findCgroups(config, own.stateId, undo);
  const { launcher, privileges } = await launch(config, cgroups, log, undo);
  const unenforced = [...privileges.unenforced, ...unusable];

  const paths = new LinuxPaths(config.allocDir, config.stateDir);
  const thisBoot = await bootId();
  const executor = new Executor({
    users: new HostUsers({ initUid: config.initUid, only: privileges.onlyUser }),
    allowedPaths: config.allowedPaths,
    sandboxes: launcher,
    paths,
    cgroups: cgroups?.host,
    records,
    outputs: records,
    collected: records,
    log,
    unenforced,
    retention: {
      endedTtlMs: config.endedTtlMs,
      endedMaxRecords: config.endedMaxRecords,
      maxTasks: config.maxTasks,
    },
    removeAllocDirs: config.removeAllocDirs,
    unstartedTtlMs: config.unstartedTtlMs,
    unstartedBytes: config.unstartedBytes,
    bootId: thisBoot,
  });
  const recovered = await executor.recover();
  if (Object.values(recovered).some((count) => count > 0))
    log.info("found an earlier daemon's tasks", { ...recovered });
  await probeSandbox({
    sandboxes: launcher,
    cgroups: cgroups?.host,
    records,
    log,
    user: privileges.probeUser,
    bootId: thisBoot,
  });
  const { stateDir, allocDir } = config;
  const info = await fingerprint({
    version: VERSION,
    helper: HELPER,
    cgroups,
    unenforced,
    stateDir,
    allocDir,
  });
  const server = new RpcServer({
    executor,
    info,
    log,
    access,
    connectionsMax: config.maxConnections,
    callsMax: config.maxCalls,
    keepaliveMs: config.keepaliveMs,
    streamsMax: config.maxStreams,
  });
  const addresses = await listen(server, rights, { config, executor, undo });
  const reload = new AccessReload({ ...parts, apply: (changed) => server.reload(changed) });
  await reload.start();
  undo.add(() => reload.stop());
  log.info("ready", {
    version: VERSION,
    listen: addresses,
    cgroups: cgroups === undefined ? "none" : `${cgroups.mode} ${cgroups.root}`,
    unenforced: unenforced.map(({ name }) => name),
  });
  // A manager that waits for it in vain ends the daemon itself.
  if (notifySocket !== undefined) {
    await tellServing(HELPER, notifySocket).catch((error: unknown) => log.error("not heard", { error }));
  }
  return { launcherGone: launcher.gone, reload: () => reload.reload() };
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
  const claim = await claimRoot(root.lockDir, root.root, stateId).catch(async (error: unknown) => {
    await root.remove();
    throw error;
  });
  undo.add(async () => {
    // Tasks that run on are the next daemon's, and the root with them.
    if ((await root.list()).length > 0) return;
    await claim.release();
    await root.remove({ killInits: true, all: claim.wasOurs });
  });
  return root;
}

interface Kept {
  readonly launcher: LauncherKeeper;
  readonly privileges: Privileges;
}

async function launch(
  config: Config,
  cgroups: CgroupRoot | undefined,
  log: StderrLog,
  undo: Undo,
): Promise<Kept> {
  const defaults = {
    allocRoot: config.allocDir,
    initUid: config.initUid,
    cgroupPrefix: cgroups?.shownPrefix ?? "",
    tmpBytes: config.tmpBytes,
    shmBytes: config.shmBytes,
    logBytes: config.logBytes,
    linkBytes: config.linkBytes,
  };
  const {
    launcher: first,
    startAnother,
    privileges,
  } = isRoot()
    ? await launchAsRoot(HELPER, defaults, async (pid) => cgroups?.moveToInits(pid))
    : await launchAsPlainUser(HELPER, defaults);
  const initPids = (): Promise<readonly number[]> => cgroups?.initPids() ?? Promise.resolve([]);
  const launcher = new LauncherKeeper(first, { startAnother, initPids, log });
  undo.add(() => launcher.stop());
  return { launcher, privileges };
}

/** What cannot be served with is the configuration's fault. */
async function checkedAccess(config: Config): Promise<Access | undefined> {
  const access = await readAccess(config);
  try {
    if (access !== undefined) checkTls(access.tls);
    return access;
  } catch (error) {
    throw new ConfigError(`--config: tls: ${(error as Error).message}`, { cause: error });
  }
}

async function socketRights({ socket, initUid }: Config): Promise<SocketRights> {
  try {
    const ids = await new HostUsers({ initUid, only: undefined }).idsOf(socket.owner, socket.group);
    return { ...ids, mode: socket.mode };
  } catch (error) {
    if (!(error instanceof TaskError)) throw error;
    const key = error.field === "user" ? "socket_owner" : "socket_group";
    throw new ConfigError(`--config: ${key} is unknown to this host`, { cause: error });
  }
}

interface ListenParts {
  readonly config: Config;
  readonly executor: Executor;
  readonly undo: Undo;
}

/** Resolves with the addresses, as clients take them. */
async function listen(
  server: RpcServer,
  rights: SocketRights,
  { config, executor, undo }: ListenParts,
): Promise<readonly string[]> {
  // Taken down in reverse: no new tasks, an answer to those who wait, then the server.
  undo.add(() => server.stop(STOP_GRACE_MS));
  undo.add(() => executor.stop({ endTasks: config.endTasksOnStop }));
  const addresses: string[] = [];
  for (const address of config.listen) addresses.push(await listenOn(server, rights, address));
  server.setServing(true);
  undo.add(() => server.setServing(false));
  return addresses;
}

async function listenOn(server: RpcServer, rights: SocketRights, address: ListenAddress): Promise<string> {
  if (address.kind === "tcp") {
    const port = await (address.tls ? server.listenWithTls(address) : server.listenLocally(address));
    return address.text.replace(/[0-9]+$/, String(port));
  }
  await clearSocket(address.path);
  await server.listenLocally({ path: address.path });
  await giveSocket(address.path, rights);
  await checkSelf(address.text);
  return address.text;
}
