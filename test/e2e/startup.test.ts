/** What the daemon refuses to start with, and how it says so. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { cgroupMounts, TestDaemon } from "../support/daemon";
import { refused } from "../support/hand-daemon";
import { cgroupRoots, flagsOf, Places, type Place } from "../support/places";
import { itRequires } from "../support/requires";

let daemon: TestDaemon;
let places: Places;

beforeAll(async () => {
  places = new Places();
  daemon = await TestDaemon.start();
});

afterEach(() => expect(daemon.leftovers()).toEqual([]));

afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
  await places[Symbol.asyncDispose]();
});

describe("what another daemon holds is refused, and the holder named:", () => {
  const held: [string, () => Partial<Place>][] = [
    ["the state directory", () => ({ state: join(daemon.daemon.directory, "state") })],
    ["the alloc directory", () => ({ alloc: join(daemon.daemon.directory, "alloc") })],
  ];
  for (const [what, theirs] of held) {
    it(what, () => {
      const place = { ...places.fresh(), ...theirs() };
      const { status, stderr } = refused(flagsOf(place));
      expect(status).toBe(1);
      expect(stderr).toMatch(new RegExp(`held by process ${daemon.pid}\\b`));
      expect(cgroupRoots(place)).toEqual([]);
    });
  }

  itRequires(["root", "cgroups"], "the cgroup root", () => {
    const { status, stderr } = refused(flagsOf({ ...places.fresh(), cgroupRoot: daemon.cgroupRoot }));
    expect(status).toBe(1);
    expect(stderr).toMatch(new RegExp(`held by process ${daemon.pid}\\b`));
    return Promise.resolve();
  });

  itRequires(
    ["root", "cgroups"],
    "a cgroup root in which nothing is yet, and it stays as it is",
    async () => {
      const place = places.fresh();
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
        const { status, stderr } = refused(flagsOf(place));
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
    const { status, stderr } = refused(flagsOf({ ...places.fresh(), address: daemon.daemon.address }));
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
      const file = join(places.scratch.path, "config.json");
      writeFileSync(file, content);
      expectOneLine(["--config", file], naming);
    });
  }

  itRequires("root", "an init_uid that a user of the host has", () => {
    const file = join(places.scratch.path, "config.json");
    writeFileSync(file, '{"init_uid": 65534}');
    expectOneLine([...flagsOf(places.fresh()), "--config", file], "init_uid 65534 is the uid of 'nobody'");
    return Promise.resolve();
  });

  it("--help and --version are no errors", () => {
    expect(refused(["--help"])).toMatchObject({ status: 0, stderr: "" });
    expect(refused(["--help"]).stdout).toContain("--listen unix:<path>|<host>:<port>");
    expect(refused(["--version"]).stdout).toMatch(/^stockaded [0-9]+\.[0-9]+\.[0-9]+\n$/);
  });
});
