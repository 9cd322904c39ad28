/** The daemon itself: what it refuses to start with, what it says, how it goes. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, rmdirSync, statSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";

import { credentials, makeClientConstructor, type ServiceError } from "@grpc/grpc-js";
import { service as healthService } from "grpc-health-check";

import { ExitReason, StockadeClient } from "../../src/client";
import { cgroupMounts, isRoot, TestDaemon, until } from "../support/daemon";
import { HandDaemon, refused } from "../support/hand-daemon";
import { itRequires } from "../support/requires";
import { Scratch } from "../support/task-files";

let daemon: TestDaemon;
let scratch: Scratch;
let places = 0;

beforeAll(async () => {
  scratch = new Scratch();
  daemon = await TestDaemon.start();
});

afterEach(() => expect(daemon.leftovers()).toEqual([]));

afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

interface Place {
  readonly state: string;
  readonly alloc: string;
  readonly cgroupRoot: string;
  readonly address: string;
}

/** Where a daemon may be that nobody else uses. */
function freshPlace(): Place {
  const number = places++;
  const directory = join(scratch.path, String(number));
  mkdirSync(directory, { mode: 0o700 });
  return {
    state: join(directory, "state"),
    alloc: join(directory, "alloc"),
    cgroupRoot: `${daemon.cgroupRoot}-hand-${number}`,
    address: `unix:${join(directory, "sock")}`,
  };
}

function flags({ state, alloc, cgroupRoot, address }: Place): string[] {
  return [
    ["--listen", address],
    ["--state-dir", state],
    ["--alloc-dir", alloc],
    ["--cgroup-root", cgroupRoot],
  ].flat();
}

/** The cgroup root's directories on this host, in each hierarchy. */
function cgroupRoots({ cgroupRoot }: Place): string[] {
  return cgroupMounts()
    .map((mount) => join(mount, cgroupRoot))
    .filter((path) => existsSync(path));
}

const SLEEPER = {
  allocId: "a",
  taskName: "sleeper",
  command: "/bin/sleep",
  args: ["1000"],
  allowUnenforced: true,
};

async function startSleeper(client: StockadeClient): Promise<{ id: string; pid: number }> {
  const { id } = await client.configure(SLEEPER);
  const { pid } = await client.start(id);
  return { id, pid };
}

/** Whether a process with that pid is alive; one that only waits to be reaped is not. */
function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

describe("what another daemon holds is refused, and the holder named:", () => {
  const held: [string, () => Partial<Place>][] = [
    ["the state directory", () => ({ state: join(daemon.daemon.directory, "state") })],
    ["the alloc directory", () => ({ alloc: join(daemon.daemon.directory, "alloc") })],
  ];
  for (const [what, theirs] of held) {
    it(what, () => {
      const place = { ...freshPlace(), ...theirs() };
      const { status, stderr } = refused(flags(place));
      expect(status).toBe(1);
      expect(stderr).toMatch(new RegExp(`held by process ${daemon.pid}\\b`));
      expect(cgroupRoots(place)).toEqual([]);
    });
  }

  itRequires(["root", "cgroups"], "the cgroup root", () => {
    const { status, stderr } = refused(flags({ ...freshPlace(), cgroupRoot: daemon.cgroupRoot }));
    expect(status).toBe(1);
    expect(stderr).toMatch(new RegExp(`held by process ${daemon.pid}\\b`));
    return Promise.resolve();
  });

  itRequires(
    ["root", "cgroups"],
    "a cgroup root in which nothing is yet, and it stays as it is",
    async () => {
      const place = freshPlace();
      const dirs = cgroupMounts().flatMap((mount) => [
        join(mount, place.cgroupRoot),
        join(mount, place.cgroupRoot, "inits"),
      ]);
      for (const dir of dirs) mkdirSync(dir);
      // A daemon that has locked it and moves its launcher there next.
      const holders = cgroupRoots(place).map((dir) =>
        spawn("flock", ["--no-fork", dir, "sh", "-c", "echo; exec sleep 1000"]),
      );
      try {
        await Promise.all(holders.map(({ stdout }) => once(stdout, "data")));
        const { status, stderr } = refused(flags(place));
        expect(status).toBe(1);
        expect(stderr).toContain("held by process");
        expect(dirs.filter((dir) => !existsSync(dir))).toEqual([]);
      } finally {
        await Promise.all(
          holders.map((holder) => {
            const closed = once(holder, "close");
            holder.kill();
            return closed;
          }),
        );
        for (const dir of dirs.reverse()) if (existsSync(dir)) rmdirSync(dir);
      }
    },
  );

  it("the socket", () => {
    const { status, stderr } = refused(flags({ ...freshPlace(), address: daemon.daemon.address }));
    expect(status).toBe(1);
    expect(stderr).toContain("another process listens on");
  });

  it("and the daemon that holds it all goes on", async () => {
    const { stdout } = await daemon.run("echo still here");
    expect(stdout).toBe("still here\n");
  });
});

describe("a configuration that cannot be is told in one line, with exit status 2:", () => {
  const flagged: [string, readonly string[], string][] = [
    ["an unknown flag", ["--nonsense"], "'--nonsense'"],
    ["a word", ["serve"], "'serve'"],
    ["a flag without its value", ["--state-dir"], "--state-dir"],
    ["a boolean with a value", ["--insecure-tcp=yes"], "--insecure-tcp"],
    ["a relative cgroup root", ["--cgroup-root", "stockade"], "--cgroup-root"],
    ["a cgroup root with ..", ["--cgroup-root", "/stockade/.."], "--cgroup-root"],
    ["the root as state directory", ["--state-dir", "/"], "--state-dir"],
    ["no address", ["--listen", "nowhere"], "--listen"],
    ["a port out of range", ["--listen", "127.0.0.1:65536", "--insecure-tcp"], "--listen"],
    ["a socket path too long", ["--listen", `unix:/${"x".repeat(108)}`], "--listen"],
    ["TCP without --insecure-tcp", ["--listen", "127.0.0.1:7070"], "--insecure-tcp"],
    ["TCP on all addresses", ["--listen", "0.0.0.0:7070", "--insecure-tcp"], "loopback"],
    ["TCP on all IPv6 addresses", ["--listen", "[::]:7070", "--insecure-tcp"], "loopback"],
    ["TCP on a host name", ["--listen", "example.org:7070", "--insecure-tcp"], "loopback"],
    ["a config file that is not there", ["--config", "/nonexistent.json"], "--config"],
  ];
  const configured: [string, string, string][] = [
    ["no JSON", "{", "JSON"],
    ["no object", "[]", "object"],
    ["an unknown key", '{"log_byte": 1}', "log_byte"],
    ["a value of the wrong type", '{"log_bytes": "1"}', "log_bytes"],
    ["a value out of range", '{"unstarted_ttl_seconds": 0}', "unstarted_ttl_seconds"],
    ["a fraction", '{"max_tasks": 1.5}', "max_tasks"],
    ["init as root", '{"init_uid": 0}', "init_uid"],
    ["allowed_paths that are no list", '{"allowed_paths": "/"}', "allowed_paths"],
    ["a relative allowed path", '{"allowed_paths": [{"path": "etc"}]}', "allowed_paths[0].path"],
    ["an unknown key of an allowed path", '{"allowed_paths": [{"path": "/etc", "rw": true}]}', "'rw'"],
  ];
  const expectOneLine = (args: readonly string[], naming: string): void => {
    const { status, stderr, stdout } = refused(args);
    expect(stderr).toMatch(/^stockaded: [^\n]+\n$/);
    expect(stderr).toContain(naming);
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
  };

  for (const [what, args, naming] of flagged) it(what, () => expectOneLine(args, naming));
  for (const [what, content, naming] of configured) {
    it(`${what} in the config file`, () => {
      const file = join(scratch.path, "config.json");
      writeFileSync(file, content);
      expectOneLine(["--config", file], naming);
    });
  }

  itRequires("root", "an init_uid that a user of the host has", () => {
    const file = join(scratch.path, "config.json");
    writeFileSync(file, '{"init_uid": 65534}');
    expectOneLine([...flags(freshPlace()), "--config", file], "init_uid 65534 is the uid of 'nobody'");
    return Promise.resolve();
  });

  it("--help and --version are no errors", () => {
    expect(refused(["--help"])).toMatchObject({ status: 0, stderr: "" });
    expect(refused(["--help"]).stdout).toContain("--listen unix:<path>|<host>:<port>");
    expect(refused(["--version"]).stdout).toMatch(/^stockaded [0-9]+\.[0-9]+\.[0-9]+\n$/);
  });
});

describe("where it listens", () => {
  const Health = makeClientConstructor(healthService, "Health");

  /** The status that the health service answers for a service. */
  function health(address: string, name: string): Promise<unknown> {
    const client = new Health(address, credentials.createInsecure());
    const check = client["check"] as unknown as (
      request: { service: string },
      callback: (error: ServiceError | null, response: { status: unknown } | undefined) => void,
    ) => void;
    return new Promise<unknown>((resolve, reject) => {
      check.call(client, { service: name }, (error, response) =>
        error === null ? resolve(response?.status) : reject(error),
      );
    }).finally(() => client.close());
  }

  it("the socket has mode 0600", () => {
    const path = daemon.daemon.address.replace(/^unix:/, "");
    const { mode, uid } = statSync(path);
    expect((mode & 0o7777).toString(8)).toBe("600");
    expect(uid).toBe(process.geteuid?.());
  });

  it("the health check says SERVING, and knows no other service", async () => {
    const { address } = daemon.daemon;
    await expect(health(address, "")).resolves.toBe("SERVING");
    await expect(health(address, "executor.v1.ExecutorService")).resolves.toBe("SERVING");
    await expect(health(address, "other.Service")).rejects.toMatchObject({ details: expect.anything() });
  });

  it("loopback TCP works with --insecure-tcp, beside the socket", async () => {
    const port = await freePort();
    const place = freshPlace();
    const tcp = `127.0.0.1:${port}`;
    await using both = await HandDaemon.start(
      [...flags(place), "--listen", tcp, "--insecure-tcp"],
      place.address,
    );
    // It listens at one address after the other.
    await until(() => both.logged.includes('"ready"'));
    await expect(health(tcp, "")).resolves.toBe("SERVING");
    using client = new StockadeClient(tcp);
    const { id } = await client.configure(SLEEPER);
    await both.client.forceStop(id);
  });

  it("a socket that a dead daemon left does not stop the next", async () => {
    const place = freshPlace();
    const dead = await HandDaemon.start(flags(place), place.address);
    await dead.end("SIGKILL");
    expect(existsSync(place.address.replace(/^unix:/, ""))).toBe(true);
    await using next = await HandDaemon.start(flags(place), place.address);
    await until(() => next.logged.includes('"ready"'));
  });

  it("what is there and is no socket stays", () => {
    const place = freshPlace();
    const path = place.address.replace(/^unix:/, "");
    writeFileSync(path, "precious");
    const { status, stderr } = refused(flags(place));
    expect(status).toBe(1);
    expect(stderr).toContain("is no socket");
    expect(readFileSync(path, "utf8")).toBe("precious");
  });

  async function freePort(): Promise<number> {
    const server = createServer();
    await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
    const address = server.address();
    await new Promise((closed) => server.close(closed));
    return typeof address === "object" && address !== null ? address.port : 0;
  }
});

describe("at its end", () => {
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    it(`${signal} ends all tasks, removes cgroups and socket, and is exit status 0`, async () => {
      const place = freshPlace();
      const ending = await HandDaemon.start(flags(place), place.address);
      const { id, pid } = await startSleeper(ending.client);
      await ending.client.configure({ ...SLEEPER, taskName: "unstarted" });
      const waited = ending.client.wait(id);
      // Asked, and the answer is under way: the connection is there before the signal is.
      await ending.client.open({ id });
      process.kill(ending.pid, signal);
      expect((await waited).exit?.reason).toBe(ExitReason.EXIT_REASON_FORCE_STOPPED);
      expect(await ending.exited).toEqual({ code: 0, signal: null });
      ending.client.close();
      expect(isAlive(pid)).toBe(false);
      expect(cgroupRoots(place)).toEqual([]);
      expect(existsSync(place.address.replace(/^unix:/, ""))).toBe(false);
      expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(place.alloc);
    });
  }

  itRequires(
    ["root", "cgroups"],
    "what SIGKILL leaves, the next daemon of the same state removes",
    async () => {
      const place = freshPlace();
      const killed = await HandDaemon.start(flags(place), place.address);
      const { pid } = await startSleeper(killed.client);
      const unstarted = await killed.client.configure({ ...SLEEPER, taskName: "unstarted" });
      expect(unstarted.id).not.toBe("");
      expect(await killed.end("SIGKILL")).toEqual({ code: null, signal: "SIGKILL" });

      await using next = await HandDaemon.start(flags(place), place.address);
      expect(next.logged).toContain("removed what an earlier daemon left");
      await until(() => !isAlive(pid));
      for (const root of cgroupRoots(place)) {
        expect(scratch.sh(`ls ${root} | grep -E '^[0-9a-f]{8}-' || true`)).toBe("");
      }
      // The names are free again, and what was in the alloc directory is still there.
      const { id } = await next.client.configure(SLEEPER);
      await next.client.forceStop(id);
    },
  );

  // clone3 into a cgroup dies of SIGKILL where the parent's own cgroup has had cgroup.kill (Linux 6.18).
  itRequires(
    ["root", "cgroups"],
    "an init that outlives SIGKILL is killed, and the next can start tasks",
    async () => {
      const place = freshPlace();
      const killed = await HandDaemon.start(flags(place), place.address);
      const straggler = spawn("sleep", ["1000"], { stdio: "ignore" });
      const gone = new Promise((resolve) => straggler.once("exit", (_code, signal) => resolve(signal)));
      for (const root of cgroupRoots(place)) {
        writeFileSync(join(root, "inits/cgroup.procs"), String(straggler.pid));
      }
      await killed.end("SIGKILL");
      try {
        await using next = await HandDaemon.start(flags(place), place.address);
        expect(await gone).toBe("SIGKILL");
        const { id } = await startSleeper(next.client);
        await next.client.forceStop(id);
      } finally {
        straggler.kill("SIGKILL");
      }
      expect(cgroupRoots(place)).toEqual([]);
    },
  );

  it("one whose log nobody reads any more goes on, and ends as any other", async () => {
    const place = freshPlace();
    const daemon = await HandDaemon.start(flags(place), place.address);
    await daemon.leaveLog();
    await startSleeper(daemon.client);
    expect(await daemon.end("SIGTERM")).toEqual({ code: 0, signal: null });
    expect(existsSync(place.address.replace(/^unix:/, ""))).toBe(false);
    expect(cgroupRoots(place)).toEqual([]);
  });

  itRequires(["root", "cgroups"], "what SIGKILL leaves is refused to a daemon of another state", async () => {
    const place = freshPlace();
    const killed = await HandDaemon.start(flags(place), place.address);
    const { pid } = await startSleeper(killed.client);
    await killed.end("SIGKILL");
    const other = freshPlace();
    try {
      const foreignRoot = refused(flags({ ...other, cgroupRoot: place.cgroupRoot }));
      expect(foreignRoot.status).toBe(1);
      expect(foreignRoot.stderr).toContain("belongs to the daemon whose state directory has id");
      const foreignAlloc = refused(flags({ ...other, alloc: place.alloc }));
      expect(foreignAlloc.status).toBe(1);
      expect(foreignAlloc.stderr).toContain("belongs to the daemon whose state directory has id");
      expect(isAlive(pid)).toBe(true);
    } finally {
      // It clears up behind the dead one, and then goes itself.
      await (await HandDaemon.start(flags(place), place.address)).end("SIGTERM");
    }
    await until(() => !isAlive(pid));
    expect(cgroupRoots(place)).toEqual([]);
    expect(cgroupRoots(other)).toEqual([]);
  });

  itRequires("cgroups", "a task that outlives its daemon writes and ends as if nothing were", async () => {
    const place = freshPlace();
    const killed = await HandDaemon.start(flags(place), place.address);
    const { id } = await killed.client.configure({
      ...SLEEPER,
      command: "/bin/sh",
      args: ["-c", "until [ -e /alloc/data/go ]; do :; done; seq 200000; echo $? >/alloc/data/done"],
    });
    await killed.client.start(id);
    const data = join(place.alloc, "a/alloc/data");
    await killed.end("SIGKILL");
    writeFileSync(join(data, "go"), "");
    await until(() => existsSync(join(data, "done")) && statSync(join(data, "done")).size > 0);
    expect(readFileSync(join(data, "done"), "utf8")).toBe("0\n");
    const uuid = id.split(/[/:]/).at(-1) ?? "";
    const log = join(place.state, "tasks", uuid, "log/stdout");
    await until(() => readFileSync(log, "latin1").endsWith("\n200000\n"));
    await (await HandDaemon.start(flags(place), place.address)).end("SIGTERM");
    expect(cgroupRoots(place)).toEqual([]);
  });

  it("a second connection that says nothing does not hold up the stop", async () => {
    const place = freshPlace();
    const ending = await HandDaemon.start(flags(place), place.address);
    const silent = connect(place.address.replace(/^unix:/, ""));
    await new Promise<void>((connected) => silent.once("connect", connected));
    silent.on("error", () => undefined);
    expect(await ending.end("SIGTERM")).toEqual({ code: 0, signal: null });
    silent.destroy();
  });
});

it.each([
  ["thrown", 'throw new Error("a defect")'],
  ["rejected", 'void Promise.reject(new Error("a defect"))'],
])("an error that nobody catches, %s, ends the daemon in order, and every task", async (_, defect) => {
  const place = freshPlace();
  const preload = join(scratch.path, "defect.cjs");
  writeFileSync(preload, `process.on("SIGUSR2", () => { ${defect}; });`);
  const env = { ...process.env, NODE_OPTIONS: `--require ${preload}` };
  const failing = await HandDaemon.start(flags(place), place.address, env);
  const { id, pid } = await startSleeper(failing.client);
  const waited = failing.client.wait(id);
  await failing.client.open({ id });
  process.kill(failing.pid, "SIGUSR2");
  expect((await waited).exit?.reason).toBe(ExitReason.EXIT_REASON_FORCE_STOPPED);
  expect(await failing.exited).toEqual({ code: 1, signal: null });
  failing.client.close();
  expect(failing.logged).toContain("Error: a defect");
  expect(isAlive(pid)).toBe(false);
  expect(cgroupRoots(place)).toEqual([]);
  expect(existsSync(place.address.replace(/^unix:/, ""))).toBe(false);
});

it("a helper that dies takes the daemon with it, and no task is left", async () => {
  const place = freshPlace();
  const failing = await HandDaemon.start(flags(place), place.address);
  const { pid } = await startSleeper(failing.client);
  const launcher = Number(
    readFileSync(`/proc/${failing.pid}/task/${failing.pid}/children`, "utf8").trim().split(" ")[0],
  );
  process.kill(launcher, "SIGKILL");
  expect((await failing.exited).code).toBe(1);
  failing.client.close();
  expect(failing.logged).toContain("the launcher has gone");
  try {
    await until(() => !isAlive(pid));
  } finally {
    // Nothing else would ever end it.
    if (isAlive(pid)) process.kill(pid, "SIGKILL");
  }
  if (isRoot()) expect(cgroupRoots(place)).toEqual([]);
});
