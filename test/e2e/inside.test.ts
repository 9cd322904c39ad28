/** What a task sees from inside, and what its init is from outside. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { hostname } from "node:os";

import { NetworkMode } from "../../src/client";
import { isRoot, SLEEPER, TestDaemon } from "../support/daemon";
import { ms } from "../support/durations";
import { FIXTURES, Fixtures } from "../support/fixtures";
import { guardOf, initOf } from "../support/inits";
import { expectNothingLeft } from "../support/leftovers";
import { has, itRequires } from "../support/requires";

let daemon: TestDaemon;
let fixtures: Fixtures;

beforeAll(async () => {
  fixtures = await Fixtures.make("list-root");
  daemon = await TestDaemon.start(fixtures.config);
});

afterEach(() => expectNothingLeft(daemon));

afterAll(async () => {
  await daemon?.[Symbol.asyncDispose]();
  await fixtures?.[Symbol.asyncDispose]();
});

/** "Uid" → "65534\t65534…" of a /proc/<pid>/status. */
function fields(status: string): Map<string, string> {
  return new Map(
    status
      .trim()
      .split("\n")
      .map((line) => {
        const colon = line.indexOf(":");
        return [line.slice(0, colon), line.slice(colon + 1).trim()];
      }),
  );
}

/** A task that runs until it is stopped, with the pids of its command and its init on the host. */
async function whileRunning(
  use: (pids: { id: string; command: number; init: number }) => void,
): Promise<void> {
  const { id, pid } = await daemon.started({ ...SLEEPER, mounts: fixtures.mounts });
  try {
    const init = Number(fields(readFileSync(`/proc/${pid}/status`, "utf8")).get("PPid"));
    use({ id, command: pid, init });
  } finally {
    await daemon.client.forceStop(id);
  }
}

/** Init, the main process and, where no cgroup would end the task, init's guard. */
const PROCESSES = has("cgroups") ? "/proc/1 /proc/2\n" : "/proc/1 /proc/2 /proc/3\n";

describe("the task", () => {
  it("has no capability in any set, and can gain none", async () => {
    const { stdout } = await daemon.run("", { command: "/bin/cat", args: ["/proc/self/status"] });
    const status = fields(stdout);
    const none = "0000000000000000";
    expect(Object.fromEntries(status)).toMatchObject({
      CapInh: none,
      CapPrm: none,
      CapEff: none,
      CapBnd: none,
      CapAmb: none,
      NoNewPrivs: "1",
    });
  });

  it("runs as its user, with umask 022 and no signal blocked or ignored", async () => {
    const { stdout } = await daemon.run("", { command: "/bin/cat", args: ["/proc/self/status"] });
    const status = fields(stdout);
    const uid = isRoot() ? 65_534 : (process.geteuid?.() ?? -1);
    const gid = isRoot() ? 65_534 : (process.getegid?.() ?? -1);
    expect(status.get("Uid")).toBe(Array(4).fill(uid).join("\t"));
    expect(status.get("Gid")).toBe(Array(4).fill(gid).join("\t"));
    expect(status.get("Umask")).toBe("0022");
    expect(status.get("SigBlk")).toBe("0000000000000000");
    expect(status.get("SigIgn")).toBe("0000000000000000");
    if (isRoot()) expect(status.get("Groups")).toBe("");
  });

  it("inherits the descriptors 0, 1 and 2 alone", async () => {
    const { stdout } = await daemon.run("", { command: "/bin/ls", args: ["-l", "/proc/self/fd"] });
    const links = stdout
      .trim()
      .split("\n")
      .slice(1)
      .map((line) => line.replace(/^.*? ([0-9]+) -> (.*)$/, "$1 $2"));
    expect(links.map((link) => link.replace(/[0-9]+(?=[\]/])/, "N"))).toEqual([
      "0 /dev/null",
      "1 pipe:[N]",
      "2 pipe:[N]",
      // That of ls itself.
      "3 /proc/N/fd",
    ]);
  });

  it("leads a session without a terminal, and is pid 2 below init", async () => {
    const { stdout } = await daemon.run("", { command: "/bin/cat", args: ["/proc/self/stat"] });
    const [, , , parent, group, session, tty] = stdout.split(" ");
    expect({ parent, group, session, tty }).toEqual({ parent: "1", group: "2", session: "2", tty: "0" });
  });

  it("is in namespaces of its own", async () => {
    const names = ["pid", "mnt", "ipc", "uts", "cgroup", "net", ...(isRoot() ? [] : ["user"])];
    const { stdout } = await daemon.run(names.map((name) => `readlink /proc/self/ns/${name}`).join(";"));
    const inside = stdout.trim().split("\n");
    expect(inside).toHaveLength(names.length);
    names.forEach((name, index) => {
      expect(inside[index]).toMatch(new RegExp(`^${name}:\\[[0-9]+\\]$`));
      expect(inside[index]).not.toBe(readlinkSync(`/proc/self/ns/${name}`));
    });
  });

  it("sees itself in the root of every cgroup hierarchy, and no host path", async () => {
    const { stdout } = await daemon.run("cat /proc/self/cgroup");
    const paths = stdout
      .trim()
      .split("\n")
      .map((line) => line.split(":").slice(2).join(":"));
    expect(paths.length).toBeGreaterThan(0);
    expect(new Set(paths)).toEqual(new Set(["/"]));
  });

  it("sees no process of the host", async () => {
    const { stdout } = await daemon.run("echo /proc/[0-9]*");
    expect(stdout).toBe(PROCESSES);
  });

  it("learns nothing of init but that it is there, and can do nothing to it", async () => {
    const { stdout, exit } = await daemon.run(
      'tr "\\0" " " </proc/1/cmdline; echo; for f in environ maps mem; do cat /proc/1/$f; done;' +
        "for f in exe root cwd; do readlink /proc/1/$f; done; ls /proc/1/fd;" +
        "kill -9 1; kill -STOP 1; echo alive",
    );
    const [title, ...rest] = stdout.trim().split("\n");
    expect(title).toMatch(/^stockade-init\b/);
    expect(title).not.toContain("/");
    expect(rest).toEqual(["alive"]);
    expect(exit.status).toEqual({ $case: "exitCode", value: 0 });
  });

  it("finds in /dev what the contract lists, and nothing else", async () => {
    const { stdout } = await daemon.run("ls -A /dev; echo --; ls -A /dev/pts /dev/shm");
    const [dev = "", below = ""] = stdout.split("--\n");
    expect(dev.trim().split("\n")).toEqual(
      "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero".split(" "),
    );
    expect(below).toBe("/dev/pts:\nptmx\n\n/dev/shm:\n");
  });

  it("can use the devices", async () => {
    const { stdout } = await daemon.run(
      "echo gone >/dev/null; cat /dev/null; head -c 4 /dev/zero | od -An -tx1;" +
        "for d in random urandom; do head -c 8 /dev/$d | wc -c; done; head -c 1 /dev/zero 2>&1 >/dev/full;" +
        "echo out >/dev/stdout; wc -c </dev/stdin; echo fd >/dev/fd/1",
    );
    expect(stdout).toMatch(/^ 00 00 00 00\n8\n8\nhead: .*: No space left on device\nout\n0\nfd\n$/);
  });

  it("gets EROFS where it would write what is the host's", async () => {
    const places = [
      "/new",
      "/bin/new",
      "/etc/new",
      "/lib/new",
      "/usr/new",
      "/usr/bin/new",
      "/usr/lib/new",
      "/dev/new",
      "/proc/self/comm",
      "/proc/self/oom_score_adj",
    ];
    const { stderr } = await daemon.run(places.map((place) => `(echo x >${place});`).join(""));
    const refused = stderr.trim().split("\n");
    expect(refused).toHaveLength(places.length);
    places.forEach((place, index) => {
      expect(refused[index]).toContain(`${place}: Read-only file system`);
    });
  });

  it("cannot mount, chroot, trace init, set the clock or make a namespace with privileges", async () => {
    const { stdout } = await daemon.run(
      "mount -t tmpfs none /tmp 2>/dev/null || echo no mount;" +
        "mount -o remount,rw / 2>/dev/null || echo no remount;" +
        "umount /proc 2>/dev/null || echo no umount;" +
        "date -s 2000-01-01 >/dev/null 2>&1 || echo no clock;" +
        "unshare -Ur true 2>/dev/null || echo no root",
    );
    expect(stdout).toBe("no mount\nno remount\nno umount\nno clock\nno root\n");
  });

  itRequires(
    "root",
    "is in a mount namespace whose root holds its own alone, for whoever enters it, too",
    () =>
      whileRunning(({ command }) => {
        const enter = ["--mount", "--target", String(command), `/task${FIXTURES}/list-root`];
        const entered = execFileSync("nsenter", enter, { encoding: "utf8" }).trim().split("\n");
        expect(entered.sort()).toEqual([".", "..", "task"]);
      }),
  );

  it("has a host name of its own", async () => {
    const { stdout } = await daemon.run("uname -n", { taskName: "web" });
    expect(stdout).toBe("web\n");
    expect(hostname()).not.toBe("web");
  });

  it("has its zombies reaped, and the orphans of its children", async () => {
    const { stdout } = await daemon.run(
      "for i in 1 2 3 4 5 6 7 8 9 10; do (true & true & exec true); (sh -c 'true & exec true' &) ; done;" +
        "tries=0; while [ \"$(echo /proc/[0-9]*)\" != '/proc/1 /proc/2' ] && [ $tries -lt 2000 ];" +
        "do tries=$((tries + 1)); done; echo /proc/[0-9]*",
    );
    expect(stdout).toBe(PROCESSES);
  });
});

describe("the environment", () => {
  const environment = async (request: Parameters<TestDaemon["run"]>[1]): Promise<string[]> => {
    const { stdout } = await daemon.run("", { command: "/usr/bin/env", args: ["-0"], ...request });
    return stdout.split("\0").slice(0, -1).sort();
  };
  const user = (): string => (isRoot() ? "nobody" : (process.env["USER"] ?? String(process.geteuid?.())));

  it("is that of the contract, with nothing of the daemon's", async () => {
    expect((await environment({})).filter((entry) => isRoot() || !/^(USER|LOGNAME)=/.test(entry))).toEqual(
      [
        "HOME=/local",
        ...(isRoot() ? [`LOGNAME=${user()}`] : []),
        "NOMAD_ALLOC_DIR=/alloc",
        "NOMAD_TASK_DIR=/local",
        "PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin",
        ...(isRoot() ? [`USER=${user()}`] : []),
      ].sort(),
    );
  });

  it("has address, ports and meta; the request's own entries win over all but the directories'", async () => {
    const found = await environment({
      ip: "192.0.2.7",
      ports: { http: 8080, "x-y": 1 },
      meta: { owner: "a b\nc", UPPER: "=" },
      env: {
        HOME: "/tmp",
        PATH: "/bin",
        USER: "someone",
        LOGNAME: "",
        EMPTY: "",
        "odd name": "v=1",
        NOMAD_IP: "mine",
        NOMAD_ALLOC_DIR: "/elsewhere",
        NOMAD_TASK_DIR: "/elsewhere",
      },
    });
    expect(found).toEqual(
      [
        "EMPTY=",
        "HOME=/tmp",
        "LOGNAME=",
        "NOMAD_ALLOC_DIR=/alloc",
        "NOMAD_IP=mine",
        "NOMAD_META_OWNER=a b\nc",
        "NOMAD_META_UPPER==",
        "NOMAD_PORT_http=8080",
        "NOMAD_PORT_x-y=1",
        "NOMAD_TASK_DIR=/local",
        "PATH=/bin",
        "USER=someone",
        "odd name=v=1",
      ].sort(),
    );
  });

  itRequires(["root", "cgroups"], "has the limits that were set before Start", async () => {
    const id = await daemon.configure({ command: "/usr/bin/env", args: ["-0"] });
    const resources = { memoryBytes: 100n << 20n, cpuShares: 500n };
    await daemon.client.limit({ id, resources });
    await daemon.client.start(id);
    await daemon.client.wait(id);
    const { stdout } = await daemon.output(id);
    expect(stdout.split("\0")).toEqual(
      expect.arrayContaining(["NOMAD_MEMORY_LIMIT=100", "NOMAD_CPU_LIMIT=500"]),
    );
  });
});

describe("the network", () => {
  const connect = (port: number): string => `exec 3<>/dev/tcp/127.0.0.1/${port} && cat <&3`;
  const server = createServer((socket) => socket.end("hello from the host\n"));
  let port = 0;

  beforeAll(async () => {
    await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
    port = (server.address() as AddressInfo).port;
  });

  afterAll(() => server.close());

  it("is by default a loopback interface, which is up, and nothing of the host", async () => {
    const { stdout, stderr } = await daemon.run("", {
      command: "/bin/bash",
      args: ["-c", `cut -d: -f1 /proc/net/dev | tail -n +3; ${connect(port)}`],
    });
    expect(stdout.trim()).toBe("lo");
    // An interface that is down would answer "Network is unreachable".
    expect(stderr).toContain("Connection refused");
  });

  it("is all that /proc shows of any process of the task's, init included", async () => {
    const { stdout } = await daemon.run(
      "for pid in 1 self; do cut -d: -f1 /proc/$pid/net/dev | tail -n +3; tail -n +2 /proc/$pid/net/unix; done",
    );
    expect(stdout.split("\n").map((line) => line.trim())).toEqual(["lo", "lo", ""]);
  });

  it("carries a task's own connections", async () => {
    const { stdout } = await daemon.run("", {
      command: "/usr/bin/perl",
      args: [
        "-MIO::Socket::INET",
        "-e",
        "$s = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die $!;" +
          "$c = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $s->sockport) or die $!;" +
          '$a = $s->accept; print $a "to myself\\n"; close $a; print <$c>',
      ],
    });
    expect(stdout).toBe("to myself\n");
  });

  it("is the host's in mode HOST", async () => {
    const { stdout } = await daemon.run("", {
      command: "/bin/bash",
      args: ["-c", `readlink /proc/self/ns/net; ${connect(port)}`],
      network: { mode: NetworkMode.NETWORK_MODE_HOST },
    });
    expect(stdout).toBe(`${readlinkSync("/proc/self/ns/net")}\nhello from the host\n`);
  });
});

describe("init", () => {
  itRequires("root", "keeps the capability KILL alone, and is neither root nor the task's user", () =>
    whileRunning(({ init }) => {
      const status = fields(readFileSync(`/proc/${init}/status`, "utf8"));
      const kill = (1n << 5n).toString(16).padStart(16, "0");
      const none = "0".repeat(16);
      expect(Object.fromEntries(status)).toMatchObject({
        Uid: Array(4).fill("65533").join("\t"),
        Gid: Array(4).fill("65533").join("\t"),
        Groups: "",
        CapPrm: kill,
        CapEff: kill,
        CapInh: none,
        CapAmb: none,
      });
      expect([none, kill]).toContain(status.get("CapBnd"));
    }),
  );

  itRequires("root", "leads a session of its own without a terminal, with every signal blocked", () =>
    whileRunning(({ init }) => {
      const [, , , session, tty] =
        readFileSync(`/proc/${init}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
      expect({ session, tty }).toEqual({ session: String(init), tty: "0" });
      const blocked = BigInt(`0x${fields(readFileSync(`/proc/${init}/status`, "utf8")).get("SigBlk")}`);
      // All from HUP to SYS but KILL and STOP, which cannot be.
      expect((blocked & 0x7fff_ffffn).toString(16)).toBe(0x7ffb_feffn.toString(16));
    }),
  );

  itRequires("root", "is not dumpable: what is its own in /proc is root's", () =>
    whileRunning(({ init }) => {
      for (const file of ["fd", "mem", "environ", "maps"]) {
        expect(`${file} ${statSync(`/proc/${init}/${file}`).uid}`).toBe(`${file} 0`);
      }
    }),
  );

  itRequires(["root", "cgroups"], "is outside the task's cgroup, in which the command is", () =>
    whileRunning(({ id, init, command }) => {
      const task = id.replace(/^CGROUP:/, "");
      const paths = (pid: number): string[] =>
        readFileSync(`/proc/${pid}/cgroup`, "utf8")
          .trim()
          .split("\n")
          .map((line) => line.split(":").slice(2).join(":"));
      const used = paths(command).filter((path) => path === task);
      expect(used.length).toBeGreaterThan(0);
      expect(paths(init)).not.toContain(task);
      expect(paths(init).filter((path) => path === `${daemon.cgroupRoot}/inits`)).toHaveLength(used.length);
    }),
  );

  itRequires("root", "holds no descriptor that it does not need", () =>
    whileRunning(({ id, init }) => {
      // By a name below its own file system: init's root is another.
      const record = daemon.recordDir(id).replace(/^.*(?=\/tasks\/)/, "");
      const held = readdirSync(`/proc/${init}/fd`)
        .map((fd) => readlinkSync(`/proc/${init}/fd/${fd}`))
        .map((target) =>
          target
            .replace("anon_inode:[pidfd]", "pidfd")
            .replace(/:\[[0-9]+\]$/, "")
            .replace(/^.*(?=\/tasks\/)/, ""),
        )
        // Its standard streams, if it has any.
        .filter((target) => target !== "/dev/null");
      expect(held.sort()).toEqual([
        // The task's own, below the root of its mounts: by it init sees whether the command has been executed.
        "/task/proc",
        `${record}/exit`,
        `${record}/log/stderr`,
        `${record}/log/stdout`,
        "anon_inode:[signalfd]",
        // The command's: it ends also where a tracer keeps init from reaping it.
        "pidfd",
        "pipe",
        "pipe",
        // To the launcher.
        "socket",
      ]);
      expect(readdirSync(`/proc/${init}/task`)).toHaveLength(1);
    }),
  );

  itRequires("root", "shows no path of the host in its command line", () =>
    whileRunning(({ init }) => {
      expect(readFileSync(`/proc/${init}/cmdline`, "utf8")).not.toContain("/");
      expect(readFileSync(`/proc/${init}/environ`, "utf8")).toBe("");
    }),
  );

  itRequires(
    ["root", "cgroups"],
    "has a guard where there is a time limit, which is no more than it is",
    async () => {
      const { id, pid } = await daemon.started({ ...SLEEPER, timeout: ms(3_600_000) });
      const init = initOf(pid);
      const guard = await guardOf(init);
      const said = (of: number): unknown => {
        const status = fields(readFileSync(`/proc/${of}/status`, "utf8"));
        const names = [
          "Uid",
          "Gid",
          "Groups",
          "CapPrm",
          "CapEff",
          "CapInh",
          "CapAmb",
          "CapBnd",
          "SigBlk",
          "Seccomp",
        ];
        return {
          status: names.map((name) => status.get(name)),
          cgroup: readFileSync(`/proc/${of}/cgroup`, "utf8"),
          root: readlinkSync(`/proc/${of}/root`),
          memory: statSync(`/proc/${of}/mem`).uid,
          environment: readFileSync(`/proc/${of}/environ`, "utf8"),
        };
      };
      expect(said(guard)).toEqual(said(init));
      const held = readdirSync(`/proc/${guard}/fd`).map((fd) => readlinkSync(`/proc/${guard}/fd/${fd}`));
      expect(
        held
          .map((target) => target.replace("[pidfd]", "pidfd").replace(/^pidfd:.*/, "anon_inode:pidfd"))
          .sort(),
      ).toEqual(["anon_inode:[timerfd]", "anon_inode:pidfd"]);
      expect(readFileSync(`/proc/${guard}/cmdline`, "utf8")).not.toContain("/");
      await daemon.client.forceStop(id);
    },
  );
});
