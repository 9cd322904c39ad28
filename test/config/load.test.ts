import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { ConfigError } from "../../src/config/config-error.js";
import type { Config } from "../../src/config/config.js";
import { load, usage, VERSION } from "../../src/config/load.js";

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "stockade-config-"));
});
afterAll(() => rmSync(dir, { recursive: true }));

function config(argv: readonly string[] = [], env: Record<string, string> = {}, root = true): Config {
  const asked = load(argv, env, root);
  if (asked.kind !== "serve") throw new Error(`asked for ${asked.kind}`);
  return asked.config;
}

function withFile(content: unknown): Config {
  const file = join(dir, "config.json");
  writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content));
  return config(["--config", file]);
}

/** Every refusal is one line that names the flag or the key. */
function refusal(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    expect(error.message).not.toContain("\n");
    return error.message;
  }
  throw new Error("was not refused");
}

describe("the configuration", () => {
  it("is this where nothing is asked for", () => {
    expect(config()).toEqual({
      configFile: undefined,
      tls: undefined,
      access: [],
      socket: { owner: undefined, group: undefined, mode: 0o600 },
      maxConnections: 1024,
      maxCalls: 16_384,
      keepaliveMs: 60_000,
      listen: [
        {
          kind: "unix",
          path: "/run/stockade/stockaded.sock",
          text: "unix:/run/stockade/stockaded.sock",
        },
      ],
      stateDir: "/var/lib/stockade",
      allocDir: "/var/lib/stockade/alloc",
      cgroupRoot: undefined,
      initUid: 65_533,
      logBytes: 67_108_864n,
      tmpBytes: 67_108_864n,
      shmBytes: 67_108_864n,
      linkBytes: 1_073_741_824n,
      unstartedTtlMs: 300_000,
      unstartedBytes: 268_435_456,
      endTasksOnStop: false,
      removeAllocDirs: false,
      endedTtlMs: 3_600_000,
      endedMaxRecords: 10_000,
      maxTasks: 4096,
      maxStreams: 2048,
      allowedPaths: ["/bin", "/etc", "/lib", "/lib32", "/lib64", "/usr/bin", "/usr/lib"].map((path) => ({
        path,
        writable: false,
      })),
    });
  });

  it("cannot be changed once it is loaded", () => {
    const loaded = config();
    for (const part of [
      loaded,
      loaded.listen,
      loaded.listen[0],
      loaded.allowedPaths,
      loaded.allowedPaths[0],
    ]) {
      expect(Object.isFrozen(part)).toBe(true);
    }
  });

  it("has the alloc directories in the state directory, wherever that is", () => {
    expect(config(["--state-dir", "/x/y/"])).toMatchObject({ stateDir: "/x/y", allocDir: "/x/y/alloc" });
    expect(config(["--state-dir=/x", "--alloc-dir=/y"])).toMatchObject({ stateDir: "/x", allocDir: "/y" });
    expect(config(["--state-dir", "x"])).toMatchObject({ stateDir: resolve("x") });
  });

  it("has its flags", () => {
    expect(config(["--cgroup-root", "/a/b.slice"])).toMatchObject({ cgroupRoot: "/a/b.slice" });
  });

  it.each([
    [{ HOME: "/h" }, "/h/.local/state/stockade", "/h/.local/state/stockade/stockaded.sock"],
    [{ HOME: "/h", XDG_RUNTIME_DIR: "/r" }, "/h/.local/state/stockade", "/r/stockade/stockaded.sock"],
    [{ XDG_STATE_HOME: "/s", XDG_RUNTIME_DIR: "/r" }, "/s/stockade", "/r/stockade/stockaded.sock"],
    [
      { HOME: "/h", XDG_STATE_HOME: "s" },
      "/h/.local/state/stockade",
      "/h/.local/state/stockade/stockaded.sock",
    ],
  ])("is a plain user's own with %j", (env, stateDir, socket) => {
    expect(config([], env, false)).toMatchObject({ stateDir, listen: [{ path: socket }] });
  });

  it("needs a state directory where a plain user has none", () => {
    expect(refusal(() => config([], {}, false))).toMatch(/^--state-dir is required/);
  });
});

describe("what to listen on", () => {
  it.each([
    ["unix:/a/b", "unix:/a/b"],
    ["unix:///a/b", "unix:/a/b"],
    ["unix:a", `unix:${resolve("a")}`],
  ])("can be the socket %s", (given, text) => {
    expect(config(["--listen", given]).listen).toEqual([
      { kind: "unix", path: text.slice("unix:".length), text },
    ]);
  });

  it.each([
    ["127.0.0.1:0", "127.0.0.1:0"],
    ["127.1.2.3:65535", "127.1.2.3:65535"],
    ["[::1]:80", "[::1]:80"],
    ["localhost:80", "127.0.0.1:80"],
  ])("can be %s with --insecure-tcp, and only with it", (given, text) => {
    expect(config(["--insecure-tcp", "--listen", given]).listen).toMatchObject([{ kind: "tcp", text }]);
    expect(refusal(() => config(["--listen", given]))).toContain("--insecure-tcp");
  });

  it("can be several", () => {
    const { listen } = config(["--listen", "unix:/a", "--listen", "unix:/b"]);
    expect(listen.map(({ text }) => text)).toEqual(["unix:/a", "unix:/b"]);
  });

  it.each([
    "0.0.0.0:80",
    "[::]:80",
    "10.0.0.1:80",
    "example.com:80",
    "127.0.0.1.example.com:80",
    "127.1:80",
    "[::ffff:127.0.0.1]:80",
  ])("cannot be %s, which is not loopback", (given) => {
    expect(refusal(() => config(["--insecure-tcp", "--listen", given]))).toMatch(/^--listen: TCP is refused/);
  });

  it.each([
    "",
    "unix:",
    "127.0.0.1",
    ":80",
    "127.0.0.1:65536",
    "127.0.0.1:",
    "127.0.0.1:x",
    "::1:80",
    "http://127.0.0.1:80",
    `unix:/${"a".repeat(107)}`,
  ])("cannot be %j", (given) => {
    expect(refusal(() => config(["--insecure-tcp", "--listen", given]))).toMatch(/^--listen: /);
  });
});

describe("the command line", () => {
  it.each([
    [["--nope"], "--nope"],
    [["--nope=1"], "--nope"],
    [["extra"], "extra"],
    [["--state-dir"], "--state-dir"],
    [["--insecure-tcp=1"], "--insecure-tcp"],
    [["--state-dir="], "--state-dir"],
    [["--state-dir", "/"], "--state-dir"],
    [["--alloc-dir", "a\0"], "--alloc-dir"],
    [["--cgroup-root", "a"], "--cgroup-root"],
    [["--cgroup-root", "/"], "--cgroup-root"],
    [["--cgroup-root", "/a/../b"], "--cgroup-root"],
    [["--cgroup-root", "/a/"], "--cgroup-root"],
    [["--cgroup-root", "/a b"], "--cgroup-root"],
    [["--config", "/nonexistent/config.json"], "--config"],
  ])("%j is refused, by name", (argv, name) => {
    expect(refusal(() => config(argv))).toContain(name);
  });

  it("can ask for help and for the version before anything else", () => {
    expect(load(["--help", "--listen", "nonsense"], {})).toEqual({ kind: "help" });
    expect(load(["-h"], {})).toEqual({ kind: "help" });
    expect(load(["--version"], {})).toEqual({ kind: "version" });
  });

  it("is explained, every flag of it", () => {
    for (const flag of [
      "listen",
      "state-dir",
      "alloc-dir",
      "cgroup-root",
      "config",
      "insecure-tcp",
      "help",
      "version",
    ]) {
      expect(usage()).toContain(`--${flag}`);
    }
  });

  it("tells the version of the package", () => {
    const text = readFileSync(join(__dirname, "../../package.json"), "utf8");
    expect((JSON.parse(text) as { version: string }).version).toBe(VERSION);
  });
});

describe("the file", () => {
  it("sets what has no flag", () => {
    expect(
      withFile({
        init_uid: 700,
        log_bytes: 8192,
        tmp_bytes: 4096,
        shm_bytes: 12_288,
        link_bytes: 0,
        unstarted_ttl_seconds: 1,
        unstarted_bytes: 1_048_576,
        ended_ttl_seconds: 2,
        ended_max_records: 0,
        max_tasks: 1,
        max_streams: 2,
        max_connections: 1,
        max_calls: 16,
        keepalive_seconds: 1,
        socket_owner: "root",
        socket_group: "100",
        socket_mode: "0660",
        end_tasks_on_stop: true,
        remove_alloc_dirs: true,
        allowed_paths: [{ path: "/" }, { path: "/srv/x", writable: true }],
      }),
    ).toMatchObject({
      initUid: 700,
      logBytes: 8192n,
      tmpBytes: 4096n,
      shmBytes: 12_288n,
      linkBytes: 0n,
      unstartedTtlMs: 1000,
      unstartedBytes: 1_048_576,
      endedTtlMs: 2000,
      endedMaxRecords: 0,
      maxTasks: 1,
      maxStreams: 2,
      maxConnections: 1,
      maxCalls: 16,
      keepaliveMs: 1000,
      socket: { owner: "root", group: "100", mode: 0o660 },
      endTasksOnStop: true,
      removeAllocDirs: true,
      allowedPaths: [
        { path: "/", writable: false },
        { path: "/srv/x", writable: true },
      ],
    });
  });

  it("can be empty of settings", () => {
    expect(withFile({})).toEqual({ ...config(), configFile: join(dir, "config.json") });
  });

  it.each<readonly [unknown, string]>([
    ["", "holds no JSON"],
    ["{", "holds no JSON"],
    ["[]", "JSON object"],
    ["null", "JSON object"],
    [{ nope: 1 }, "'nope'"],
    [{ logBytes: 1 }, "'logBytes'"],
    [{ toString: 1 }, "'toString'"],
    ['{"__proto__": 1}', "'__proto__'"],
    [{ init_uid: 0 }, "init_uid"],
    [{ init_uid: 1 }, "init_uid"],
    [{ init_uid: 4_294_967_295 }, "init_uid"],
    [{ init_uid: "65533" }, "init_uid"],
    [{ log_bytes: 0 }, "log_bytes"],
    [{ log_bytes: -1 }, "log_bytes"],
    [{ log_bytes: 4096.5 }, "log_bytes"],
    [{ log_bytes: null }, "log_bytes"],
    ['{"log_bytes": 1e400}', "log_bytes"],
    [{ tmp_bytes: 2 ** 50 }, "tmp_bytes"],
    [{ shm_bytes: true }, "shm_bytes"],
    [{ link_bytes: -1 }, "link_bytes"],
    [{ unstarted_ttl_seconds: 0 }, "unstarted_ttl_seconds"],
    [{ ended_ttl_seconds: 2_147_484 }, "ended_ttl_seconds"],
    [{ ended_max_records: -1 }, "ended_max_records"],
    [{ max_tasks: 0 }, "max_tasks"],
    [{ max_streams: 0 }, "max_streams"],
    [{ unstarted_bytes: 1_048_575 }, "unstarted_bytes"],
    [{ end_tasks_on_stop: 1 }, "end_tasks_on_stop"],
    [{ end_tasks_on_stop: null }, "end_tasks_on_stop"],
    [{ remove_alloc_dirs: "yes" }, "remove_alloc_dirs"],
    [{ allowed_paths: {} }, "allowed_paths"],
    [{ allowed_paths: ["/a"] }, "allowed_paths[0]"],
    [{ allowed_paths: [{ path: "/a" }, {}] }, "allowed_paths[1].path"],
    [{ allowed_paths: [{ path: "a" }] }, "allowed_paths[0].path"],
    [{ allowed_paths: [{ path: "/a/../b" }] }, "allowed_paths[0].path"],
    [{ allowed_paths: [{ path: "/a", writable: 1 }] }, "allowed_paths[0].writable"],
    [{ allowed_paths: [{ path: "/a", write: true }] }, "'write' in allowed_paths[0]"],
  ])("with %j is refused, by name", (content, name) => {
    const message = refusal(() => withFile(content));
    expect(message).toMatch(/^--config: /);
    expect(message).toContain(name);
  });
});
