/** A task as hostile as it can be with all system calls, and every odd way to end. */
import { execFileSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";

import { ExitReason, type Exit } from "../../src/client";
import { isRoot, TestDaemon, until, type Ran } from "../support/daemon";
import { died, exited, exitOf, lost } from "../support/exits";
import { FIXTURES, Fixtures } from "../support/fixtures";
import { expectNothingLeft, expectNothingLeftSoon } from "../support/leftovers";
import { has, itRequires } from "../support/requires";

const MIB = 1 << 20;
const { EXIT_REASON_FORCE_STOPPED: FORCE_STOPPED } = ExitReason;

const KEYRINGS = { what: "keyrings", met: existsSync("/proc/keys") };

/** What test/fixtures/hostile.c ends with when it has made its attempts. */
const DONE = 77;

let daemon: TestDaemon;
let fixtures: Fixtures;

beforeAll(async () => {
  fixtures = await Fixtures.make("hostile", "odd-end", "session-keyring");
  daemon = await TestDaemon.start({
    ...fixtures.config,
    log_bytes: MIB,
    tmp_bytes: 4 * MIB,
    shm_bytes: 4 * MIB,
  });
});

afterAll(async () => {
  await daemon?.[Symbol.asyncDispose]();
  await fixtures?.[Symbol.asyncDispose]();
});

afterEach(() => expectNothingLeft(daemon));

function run(script: string): Promise<Ran> {
  return daemon.run(script, { mounts: fixtures.mounts });
}

/**
 * Name in the fixture, what is tried, what comes of it, and what for a plain user's task. Several outcomes:
 * kernels are built differently. OK is for what succeeds and does nothing.
 */
type Attempt = readonly [name: string, what: string, outcome: string, plain?: string];

/** Without subordinate ids a plain user's init has the task's own uid. */
const ON_INIT = isRoot() || has("subids") ? "EPERM" : "OK";

const SIGNALS: readonly Attempt[] = [
  ["kill_init", "SIGKILL", ON_INIT],
  ["stop_init", "SIGSTOP", ON_INIT],
  ["tkill_init", "SIGKILL to its thread", ON_INIT],
  ["tgkill_init", "SIGSEGV to its thread", ON_INIT],
  ["queue_to_init", "SIGCHLD with a value", ON_INIT],
  ["pidfd_kill_init", "SIGKILL by pidfd", ON_INIT],
];

const TRACING: readonly Attempt[] = [
  ["attach_init", "PTRACE_ATTACH", "EPERM"],
  ["seize_init", "PTRACE_SEIZE", "EPERM"],
  ["read_init", "process_vm_readv", "EPERM"],
  ["write_init", "process_vm_writev", "EPERM"],
  ["compare_init", "kcmp", "EPERM|ENOSYS"],
  ["robust_list_of_init", "get_robust_list", "EPERM"],
  ["measure_init", "perf_event_open", "EACCES|EPERM|ENOSYS"],
  ["pidfd_take_from_init", "pidfd_getfd", "EPERM"],
  ["reclaim_init", "process_madvise", "EACCES|EPERM|ENOSYS"],
  ["move_pages_of_init", "move_pages", "EPERM|ENOSYS"],
  ["memory_of_init", "/proc/1/mem", "EACCES"],
  ["environment_of_init", "/proc/1/environ", "EACCES"],
  ["maps_of_init", "/proc/1/maps", "EACCES"],
  ["descriptors_of_init", "/proc/1/fd", "EACCES"],
  ["root_of_init", "/proc/1/root", "EACCES"],
  ["cwd_of_init", "/proc/1/cwd", "EACCES"],
  ["mounts_of_init", "setns to /proc/1/ns/mnt", "EACCES"],
  ["user_ns_of_init", "setns to /proc/1/ns/user", "EACCES"],
  ["pid_ns_of_init", "setns to /proc/1/ns/pid", "EACCES"],
  ["cgroup_ns_of_init", "setns to /proc/1/ns/cgroup", "EACCES"],
  ["pidfd_enter_init", "setns to its pidfd", "EPERM"],
];

const SCHEDULING: readonly Attempt[] = [
  ["renice_init", "setpriority of init", "EPERM"],
  ["idle_init", "sched_setscheduler of init", "EPERM"],
  ["pin_init", "sched_setaffinity of init", "EPERM"],
  ["starve_init_of_io", "ioprio_set of init", "EPERM"],
  // SECURITY.md has it: the limits of a process of one's own uid may be changed.
  ["limit_init", "prlimit of init", ON_INIT],
  ["raise_oom_score", "/proc/1/oom_score_adj", "EACCES|EROFS"],
  ["renice_host", "a nice value of -20", "EACCES"],
  ["real_time", "SCHED_FIFO", "EPERM"],
];

/** What would hurt, where it can be done. */
const LIMITS: readonly Attempt[] = [
  ["limit_files_of_init", "RLIMIT_FSIZE of init", ON_INIT],
  ["limit_time_of_init", "RLIMIT_CPU of init", ON_INIT],
  ["limit_descriptors_of_init", "RLIMIT_NOFILE of init", ON_INIT],
  ["limit_memory_of_init", "RLIMIT_AS of init", ON_INIT],
];

const NAMESPACES: readonly Attempt[] = [
  ["unshare_mounts", "a mount namespace", "EPERM"],
  ["unshare_pids", "a pid namespace", "EPERM"],
  ["unshare_network", "a network namespace", "EPERM"],
  ["own_mounts", "setns to its own mounts", "EPERM"],
  ["unshare_users", "a user namespace", "EPERM"],
  ["unshare_users_and_network", "a network in a user namespace", "EPERM"],
  ["clone_users", "a child in a user namespace", "EPERM"],
];

const FILES: readonly Attempt[] = [
  ["mount_tmpfs", "to mount a tmpfs", "EPERM"],
  ["mount_cgroups", "to mount cgroups", "EPERM"],
  ["remount_root", "to make the root writable", "EPERM"],
  ["uncover_proc", "to unmount /proc", "EPERM"],
  ["clone_root", "open_tree of the root", "EPERM"],
  ["new_file_system", "fsopen", "EPERM"],
  ["pivot", "pivot_root", "EPERM"],
  ["change_root", "chroot", "EPERM"],
  ["open_by_handle", "open_by_handle_at", "EPERM|EOPNOTSUPP|ENOSYS"],
  ["climb", "more .. than there are directories", "OK"],
  ["make_device", "mknod of /dev/mem", "EPERM"],
  ["open_sysrq", "/proc/sysrq-trigger", "EACCES|EROFS|ENOENT"],
  ["open_sysctl", "/proc/sys/kernel/core_pattern", "EACCES|EROFS"],
  ["open_own_sysctl", "/proc/sys/kernel/hostname", "EACCES|EROFS"],
  ["open_kernel_memory", "/dev/mem", "ENOENT"],
  ["open_kernel_log", "/dev/kmsg", "ENOENT"],
  ["open_cgroups", "/sys/fs/cgroup", "ENOENT"],
  ["swap_local", "to rename /local into /alloc", "EXDEV"],
  ["swap_shared", "to rename a directory of /alloc", "EACCES", "EXDEV"],
  ["swap_link", "a symbolic link in /alloc", "EACCES", "EROFS"],
  ["swap_mount", "to remove a directory of /alloc", "EACCES", "EROFS"],
  ["swap_binary", "to rename the host's shell", "EROFS"],
];

const KERNEL: readonly Attempt[] = [
  ["reboot_wrongly", "reboot", "EPERM"],
  ["load_kernel", "kexec_load", "EPERM|ENOSYS"],
  ["load_module", "finit_module", "EPERM|ENOSYS"],
  ["unload_module", "delete_module", "EPERM|ENOSYS"],
  ["swap_on", "swapon", "EPERM|ENOSYS"],
  ["swap_off", "swapoff", "EPERM|ENOSYS"],
  ["account", "acct", "EPERM|ENOSYS"],
  ["set_time", "settimeofday", "EPERM"],
  ["set_clock", "clock_settime", "EPERM"],
  ["set_host_name", "sethostname", "EPERM"],
  ["silence_kernel_log", "syslog", "EPERM"],
  ["take_ports", "iopl", "EPERM|ENOSYS"],
  ["measure_host", "perf_event_open of a CPU", "EACCES|EPERM|ENOSYS"],
  // The host may allow anybody these two.
  ["load_bpf", "a map of bpf", "EPERM|ENOSYS|OK"],
  ["make_ring", "io_uring_setup", "EINVAL|EPERM|ENOSYS"],
  ["raise_capability", "capset", "EPERM"],
  ["become_root", "setresuid to 0", "EPERM", "EINVAL"],
  ["become_group", "setgroups to 0", "EPERM"],
  ["type_on_terminal", "TIOCSTI to its terminal", "ENXIO"],
  ["type_on_stdin", "TIOCSTI to its stdin", "ENOTTY"],
];

const FILLS: readonly Attempt[] = [
  ["fill_names", "all inodes of /tmp", "ENOSPC"],
  ["fill_tmp", "all bytes of /tmp", "ENOSPC"],
  ["fill_shm", "all bytes of /dev/shm", "ENOSPC"],
  ["fill_descriptors", "all descriptors", "EMFILE"],
  ["fill_inotify", "all inotify instances", "EMFILE|ENOSPC"],
];

/** Alone, it finds nobody, or where there is no cgroup init's guard: that it may not be killed kill(2) does not say. */
const KILL_ALL: Attempt = ["kill_all", "kill(-1)", has("cgroups") ? "ESRCH" : "OK"];

const ALL = [
  SIGNALS,
  TRACING,
  SCHEDULING,
  ON_INIT === "EPERM" ? LIMITS : [],
  NAMESPACES,
  FILES,
  KERNEL,
  FILLS,
].flat();

function expected([, , outcome, plain = outcome]: Attempt): string[] {
  return (isRoot() ? outcome : plain).split("|");
}

/** "kill_init EPERM" lines, each held against the attempt of its place. */
function expectOutcomes(stdout: string, attempts: readonly Attempt[]): void {
  const lines = stdout.trimEnd().split("\n");
  expect(lines.map((line) => line.split(" ")[0])).toEqual(attempts.map(([name]) => name));
  attempts.forEach((attempt, index) =>
    expect(expected(attempt).map((outcome) => `${attempt[0]} ${outcome}`)).toContain(lines[index]),
  );
}

describe.each([
  ["signals init", [...SIGNALS, KILL_ALL]],
  ["traces init and enters what is init's", TRACING],
  ["takes CPU, I/O and memory from init", SCHEDULING],
  ["makes and enters namespaces", NAMESPACES],
  ["mounts, climbs and swaps", FILES],
  ["asks for what is root's", KERNEL],
  ["fills what it has", FILLS],
] as const)("a task that %s", (_kind, attempts: readonly Attempt[]) => {
  it.each(attempts.map((attempt) => [attempt[0], attempt[1], attempt] as const))(
    "tries %s: %s",
    async (name, _what, attempt) => {
      const { exit, stdout } = await run(`exec ${FIXTURES}/hostile ${name}`);
      expectOutcomes(stdout, [attempt]);
      expect(exit).toMatchObject(exited(DONE));
    },
  );
});

it("a task that tries all of it ends by itself; its neighbour and the daemon go on as before", async () => {
  const descriptors = daemon.descriptors();
  const neighbour = await daemon.started();
  const lines = ALL.map(([name]) => `${FIXTURES}/hostile ${name};`).join(" ");
  const { exit, stdout } = await run(`${lines} exec ${FIXTURES}/hostile kill_all`);
  expectOutcomes(stdout, [...ALL, KILL_ALL]);
  expect(exit).toMatchObject({ ...exited(DONE), oomKilled: false, stdoutDroppedBytes: 0n });
  expect(process.kill(neighbour.pid, 0)).toBe(true);
  expect((await daemon.client.forceStop(neighbour.id)).exit).toMatchObject(died(9, FORCE_STOPPED));
  expect((await run("exit 3")).exit).toMatchObject(exited(3));
  await until(() => daemon.descriptors() <= descriptors);
});

describe("a task that limits init", () => {
  /** What init cannot do then it may be lost by; nothing is made up. */
  const ends = (name: string): readonly Partial<Exit>[] => {
    if (ON_INIT === "EPERM") return [exited(DONE)];
    // Init that cannot poll any more ends its task.
    return name === "limit_descriptors_of_init" ? [died(9)] : [exited(DONE), lost()];
  };

  it.each(LIMITS.map((attempt) => [attempt[0], attempt[1], attempt] as const))(
    "by %s, %s, ends as it does, or is killed or lost where it has init's uid",
    async (name, _what, attempt) => {
      const alloc = daemon.freshName();
      // Not before init has told of the start; then init has something to drain, and to record at the end.
      const steps = [
        "mkfifo /local/go; read -r _ </local/go",
        `${FIXTURES}/hostile ${name}`,
        `head -c 1000000 /dev/zero >&2; exit ${DONE}`,
      ];
      const { id } = await daemon.started({
        command: "/bin/sh",
        args: ["-c", steps.join("; ")],
        mounts: fixtures.mounts,
        allocId: alloc,
        taskName: "t",
      });
      const go = join(daemon.allocDir(alloc), "t/local/go");
      await until(() => existsSync(go));
      await writeFile(go, "\n");
      const exit = await exitOf(daemon.client, id);
      const { stdout } = await daemon.output(id);
      if (ON_INIT === "EPERM") expectOutcomes(stdout, [attempt]);
      expect(ends(name)).toContainEqual({ status: exit.status, reason: exit.reason });
      await expectNothingLeftSoon(daemon);
      expect(await run("echo on; exit 3")).toMatchObject({ exit: exited(3), stdout: "on\n" });
    },
  );
});

itRequires("cgroups", "a task that fills its processes has no more than its limit", async () => {
  const fill: Attempt = ["fill_processes", "all processes", "EAGAIN"];
  const args = ["-c", `exec ${FIXTURES}/hostile fill_processes`];
  const id = await daemon.configure({ command: "/bin/sh", args, mounts: fixtures.mounts });
  await daemon.client.limit({ id, resources: { pidsMax: 64n } });
  await daemon.client.start(id);
  expect(await exitOf(daemon.client, id)).toMatchObject(exited(DONE));
  expectOutcomes((await daemon.output(id)).stdout, [fill]);
});

itRequires(KEYRINGS, "a task has neither the daemon's session keyring nor another task's", async () => {
  const program = "session-keyring";
  const own = execFileSync(`${fixtures.directory}/${program}`, { encoding: "utf8" });
  const first = await run(`exec ${FIXTURES}/${program}`);
  const second = await run(`exec ${FIXTURES}/${program}`);
  expect(new Set([own, first.stdout, second.stdout, "-1\n"]).size).toBe(4);
});

it("a task that fills its logs loses what is beyond their cap, to the byte", async () => {
  const written = [MIB + 123_457, 2 * MIB] as const;
  const script = `head -c ${written[0]} /dev/zero; head -c ${written[1]} /dev/zero >&2; exit 5`;
  const { id, exit, stdout, stderr } = await run(script);
  expect(exit).toMatchObject(exited(5));
  expect(stdout.length + Number(exit.stdoutDroppedBytes)).toBe(written[0]);
  expect(stderr.length + Number(exit.stderrDroppedBytes)).toBe(written[1]);
  for (const [stream, kept] of Object.entries({ stdout, stderr })) {
    expect(kept.length).toBeLessThanOrEqual(MIB);
    // The oldest goes a sixteenth at a time.
    expect(kept.length).toBeGreaterThan((MIB / 16) * 15 - 1);
    expect(statSync(join(daemon.recordDir(id), "log", stream)).blocks * 512).toBeLessThanOrEqual(
      MIB + MIB / 16,
    );
  }
});

it("what a task has put where the next one's is to be does not lead astray", async () => {
  const name = daemon.freshName();
  const request = { allocId: name, taskName: name };
  const traps = [
    `ln -sf /etc /local/${name}.stdout; mkfifo /local/${name}.stderr`,
    `rm -f /local/${name}.*; mkdir -p /local/${name}.stdout/x /local/${name}.stderr`,
    "for d in data tmp logs; do ln -s / /alloc/$d/link; mkfifo /alloc/$d/fifo; done",
    "chmod 0 /local",
  ];
  for (const trap of traps) {
    const { exit, stdout } = await daemon.run(`echo in; ${trap}; exit 6`, request);
    expect([trap, exit, stdout]).toEqual([trap, expect.objectContaining(exited(6)), "in\n"]);
  }
  expect((await daemon.run("echo in", request)).stdout).toBe("in\n");
});

/** A way of test/fixtures/odd-end.c, with its number. */
type End = readonly [way: string, what: string, exit: Partial<Exit>];

const ENDS: readonly End[] = [
  ["exec_over 100", "execs itself a hundred times", exited(40)],
  ["exec_from_thread 41", "execs from another thread", exited(41)],
  ["vfork_and_die 42", "has a child that dies in vfork", exited(42)],
  ["fork_twice 43", "has a grandchild that aborts and a child that is killed", exited(43)],
  ["main_thread_first 44", "ends its main thread, then exits from another", exited(44)],
  ["all_threads 45", "ends each of its threads, the main one first", exited(45)],
  ["traced_by_child 46", "is traced by its child, and told to exit", exited(46)],
  ["wide_code 0", "exits with all bits set", exited(255)],
  ["leave 259", "exits with more than a byte", exited(3)],
  ["zombie_of_tracer 51", "is kept a zombie by a child that traces it", exited(51)],
  ["close_all 47", "leaves a child in a session without a descriptor", exited(47)],
  ["close_output 48", "closes its output at once", exited(48)],
  ["zombies 49", "leaves five hundred zombies", exited(49)],
  ["subreaper 50", "takes its orphans from init", exited(50)],
  ["sibling 54", "has siblings, of which one ends before it", exited(54)],
  ["traced_by_init 52", "has init for its tracer", exited(52)],
  ["thread_traced_by_init 53", "has a thread with init for its tracer", exited(53)],
  ["killed_traced_by_init 15", "is killed with init for its tracer", died(15)],
  ["killed_while_stopped 0", "is killed while it is stopped", died(9)],
  ["killed_with_threads 0", "is killed with threads", died(9)],
  ["killed_by_tracers_end 0", "is killed by its tracer's end", died(9)],
  ["strict 0", "breaks seccomp's strict mode", died(9)],
  ["filtered 0", "breaks a seccomp filter", died(31)],
];

describe("a main process that", () => {
  it.each(ENDS)("ends with %s: %s", async (way, _what, exit) => {
    const ran = await run(`exec ${FIXTURES}/odd-end ${way}`);
    expect(ran.exit).toMatchObject({ ...exit, oomKilled: false });
  });

  /** Nothing happens: ignored by default, or a stop of what has no job control. */
  const HARMLESS = [17, 18, 20, 21, 22, 23, 28];
  const STOP = 19;
  const signals = [...Array.from({ length: 34 }, (_, index) => index + 1), 64].filter((s) => s !== STOP);

  it.each(signals)("sends itself signal %d dies of it, or goes on where that is no death", async (signal) => {
    const { exit } = await run(`exec ${FIXTURES}/odd-end send_self ${signal}`);
    expect(exit).toMatchObject(HARMLESS.includes(signal) ? exited(99) : died(signal));
    if (has("core-dumps")) expect(exit.coreDumped).toBe(false);
  });
});
