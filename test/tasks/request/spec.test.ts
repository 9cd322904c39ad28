import { DEFAULT_CHROOT } from "../../../src/tasks/request/default-chroot.js";
import type { ErrorReason } from "../../../src/tasks/errors.js";
import { checkConfigure, type ConfigureInput } from "../../../src/tasks/request/spec.js";
import { splitLine } from "../../../src/tasks/request/words.js";

type MapField = "env" | "chroot" | "ports" | "meta" | "labels";

/** Of a request, with its maps as objects. */
type Parts = Partial<Omit<ConfigureInput, MapField>> & {
  readonly env?: Readonly<Record<string, string>>;
  readonly chroot?: Readonly<Record<string, string>>;
  readonly ports?: Readonly<Record<string, number>>;
  readonly meta?: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
};

function request({
  env = {},
  chroot = {},
  ports = {},
  meta = {},
  labels = {},
  ...parts
}: Parts = {}): ConfigureInput {
  return {
    allocId: "alloc-1",
    taskName: "web",
    command: "/bin/true",
    args: [],
    commandLine: "",
    env: new Map(Object.entries(env)),
    user: "",
    group: "",
    supplementaryGroups: [],
    workDir: "",
    chroot: new Map(Object.entries(chroot)),
    chrootMethod: "bind",
    mounts: [],
    network: "none",
    ip: "",
    ports: new Map(Object.entries(ports)),
    meta: new Map(Object.entries(meta)),
    allowUnenforced: false,
    timeout: undefined,
    cpuTimeLimit: undefined,
    labels: new Map(Object.entries(labels)),
    requestId: "",
    ...parts,
  };
}

function mount(source: string, target: string) {
  return { source, target, readOnly: true };
}

function many(count: number): ConfigureInput["mounts"] {
  return Array.from({ length: count }, (_, index) => mount("/a", `/m/${index}`));
}

function manyPaths(count: number): [string, string][] {
  return Array.from({ length: count }, (_, index) => [`/m/${index}`, `/m/${index}`]);
}

function numbers(count: number): [string, number][] {
  return Array.from({ length: count }, (_, index) => [`p${index}`, 1]);
}

describe("a request", () => {
  it("gets the defaults of what it leaves out", () => {
    expect(checkConfigure(request())).toEqual({
      allocId: "alloc-1",
      taskName: "web",
      command: { kind: "program", program: "/bin/true", args: [] },
      env: new Map(),
      user: "",
      group: "",
      supplementaryGroups: [],
      workDir: "/local",
      chroot: DEFAULT_CHROOT,
      chrootMethod: "bind",
      mounts: [],
      network: "none",
      ip: undefined,
      ports: new Map(),
      meta: new Map(),
      allowUnenforced: false,
      timeoutNs: undefined,
      cpuTimeNs: undefined,
      labels: new Map(),
      requestId: undefined,
    });
  });

  it("keeps what it asks for, and cannot be changed any more", () => {
    const spec = checkConfigure(
      request({
        args: ["-c", "", "$A"],
        env: { A: "x=y", "odd name": "" },
        user: "4294967295",
        group: "01",
        supplementaryGroups: ["a", "a"],
        workDir: "/",
        chroot: { "/opt/a": "/a", "/opt/b": "/a/b" },
        chrootMethod: "link",
        mounts: [mount("/srv", "/srv"), mount("/srv", "/etc")],
        network: "host",
        ip: "fd00::1",
        ports: { "http-1.x_Y": 65_535, a: 1 },
        meta: { "k-1": "v" },
        allowUnenforced: true,
      }),
    );
    expect(spec).toMatchObject({
      command: { kind: "program", args: ["-c", "", "$A"] },
      user: "4294967295",
      group: "01",
      supplementaryGroups: ["a", "a"],
      workDir: "/",
      chroot: [
        { source: "/opt/a", target: "/a" },
        { source: "/opt/b", target: "/a/b" },
      ],
      chrootMethod: "link",
      mounts: [mount("/srv", "/srv"), mount("/srv", "/etc")],
      network: "host",
      ip: "fd00::1",
      allowUnenforced: true,
    });
    expect([...spec.env]).toEqual([
      ["A", "x=y"],
      ["odd name", ""],
    ]);
    expect([...spec.ports]).toEqual([
      ["http-1.x_Y", 65_535],
      ["a", 1],
    ]);
    for (const part of [
      spec,
      spec.command,
      spec.chroot,
      spec.mounts,
      spec.mounts[0],
      spec.supplementaryGroups,
    ]) {
      expect(Object.isFrozen(part)).toBe(true);
    }
  });

  it("can have its command as a line", () => {
    const { command } = checkConfigure(request({ command: "", commandLine: " sh -c 'a b'" }));
    expect(command).toEqual({ kind: "line", words: splitLine("sh -c 'a b'") });
  });

  it("can have one argument of any length: that is for exec to refuse", () => {
    const long = "x".repeat(1_000_000);
    expect(() => checkConfigure(request({ args: [long], env: { A: long } }))).not.toThrow();
  });

  it.each(["a", "A", "0", "a.b_c-d", "a".repeat(128), "ALLOC", "alloc2"])("can be named %j", (name) => {
    expect(() => checkConfigure(request({ allocId: name, taskName: name }))).not.toThrow();
  });

  it("can be of an alloc named 'alloc'", () => {
    expect(() => checkConfigure(request({ allocId: "alloc" }))).not.toThrow();
  });

  const bad: readonly (readonly [ErrorReason, string, Parts])[] = [
    ["FIELD_MISSING", "alloc_id", { allocId: "" }],
    ["FIELD_MISSING", "task_name", { taskName: "" }],
    ...[".", "..", "a/b", "-a", "_a", ".a", "a\n", "a\0", "é", "a b", "a".repeat(129)].flatMap(
      (name) =>
        [
          ["FIELD_INVALID", "alloc_id", { allocId: name }],
          ["FIELD_INVALID", "task_name", { taskName: name }],
        ] as const,
    ),
    ["FIELD_INVALID", "task_name", { taskName: "alloc" }],
    ["FIELD_MISSING", "command", { command: "" }],
    ["FIELD_MISSING", "command", { command: "", args: ["a"] }],
    ["FIELDS_EXCLUSIVE", "command_line", { commandLine: "a" }],
    ["FIELDS_EXCLUSIVE", "args", { command: "", commandLine: "a", args: ["b"] }],
    ["FIELD_INVALID", "command", { command: "a\0b" }],
    ["FIELD_INVALID", "args[1]", { args: ["a", "b\0"] }],
    ["FIELD_INVALID", "command_line", { command: "", commandLine: "a\0" }],
    ["FIELD_INVALID", "command_line", { command: "", commandLine: " " }],
    ["FIELD_INVALID", "command_line", { command: "", commandLine: "'' a" }],
    ["FIELD_INVALID", "command_line", { command: "", commandLine: "a 'b" }],
    ["FIELD_INVALID", "command_line", { command: "", commandLine: "a \\" }],
    ["FIELD_INVALID", "env", { env: { "": "a" } }],
    ["FIELD_INVALID", "env", { env: { "A=B": "a" } }],
    ["FIELD_INVALID", "env", { env: { "A\0": "a" } }],
    ["FIELD_INVALID", "env", { env: { A: "a\0" } }],
    ["FIELD_INVALID", "user", { user: "4294967296" }],
    ["FIELD_INVALID", "user", { user: "9".repeat(400) }],
    ["FIELD_INVALID", "user", { user: "a\0" }],
    ["FIELD_INVALID", "group", { group: "18446744073709551616" }],
    ["FIELD_INVALID", "supplementary_groups[1]", { supplementaryGroups: ["1", "4294967296"] }],
    ["FIELD_INVALID", "supplementary_groups[0]", { supplementaryGroups: [""] }],
    ...["a", "/a/", "/a//b", "/a/../b", "/.", "/a\0"].map(
      (path) => ["FIELD_INVALID", "work_dir", { workDir: path }] as const,
    ),
    ...["a", "/a/", "/a//b", "/a/../b", "/.", "/a\0"].flatMap(
      (path) =>
        [
          ["FIELD_INVALID", "chroot", { chroot: { [path]: "/a" } }],
          ["FIELD_INVALID", "chroot", { chroot: { "/a": path } }],
          ["FIELD_INVALID", "mounts[0].source", { mounts: [mount(path, "/a")] }],
          ["FIELD_INVALID", "mounts[0].target", { mounts: [mount("/a", path)] }],
        ] as const,
    ),
    ["FIELD_INVALID", "work_dir", { workDir: `/a/${"é".repeat(128)}` }],
    ["FIELD_INVALID", "mounts[0].target", { mounts: [mount("/a", `/${"a".repeat(256)}/b`)] }],
    ["FIELD_INVALID", "mounts[0].source", { mounts: [mount(`/${"a".repeat(256)}/b`, "/b")] }],
    ["FIELD_INVALID", "chroot", { chroot: { "/a": `/${"a".repeat(256)}` } }],
    ...["/", "/proc", "/dev/shm", "/tmp/x", "/alloc", "/local/x"].flatMap(
      (path) =>
        [
          ["FIELD_INVALID", "chroot", { chroot: { "/a": path } }],
          ["FIELD_INVALID", "mounts[0].target", { mounts: [mount("/a", path)] }],
        ] as const,
    ),
    ["FIELD_INVALID", "chroot", { chroot: { "/a": "/x", "/b": "/x" } }],
    ["FIELD_INVALID", "mounts[0].target", { chroot: { "/a": "/x" }, mounts: [mount("/b", "/x")] }],
    ["FIELD_INVALID", "mounts[0].target", { mounts: [mount("/b", "/etc")] }],
    ["FIELD_INVALID", "mounts[1].target", { mounts: [mount("/a", "/x"), mount("/b", "/x")] }],
    ["FIELD_INVALID", "chroot_method", { chrootMethod: "copy" as "bind" }],
    ["FIELD_INVALID", "network.mode", { network: "bridge" as "host" }],
    ...["1.2.3", "localhost", "1.2.3.4/8", "::g", " ::1", "01.2.3.4"].map(
      (ip) => ["FIELD_INVALID", "ip", { ip }] as const,
    ),
    ["FIELD_INVALID", "ports", { ports: { a: 0 } }],
    ["FIELD_INVALID", "ports", { ports: { a: 65_536 } }],
    ["FIELD_INVALID", "ports", { ports: { "": 1 } }],
    ["FIELD_INVALID", "ports", { ports: { "a=b": 1 } }],
    ["FIELD_INVALID", "ports", { ports: { "a b": 1 } }],
    ["FIELD_INVALID", "meta", { meta: { "": "a" } }],
    ["FIELD_INVALID", "meta", { meta: { "a=": "a" } }],
    ["FIELD_INVALID", "meta", { meta: { a: "\0" } }],
    ["FIELD_INVALID", "meta", { meta: { a: "1", A: "2" } }],
  ];

  it.each(bad)("is refused with %s for %s: %j", (reason, field, parts) => {
    expect(() => checkConfigure(request(parts))).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT", reason, field }),
    );
  });

  const tooLong: readonly (readonly [string, string, Parts])[] = [
    ["a command longer than a path", "command", { command: "€".repeat(1366) }],
    ["more bytes of arguments than are executed", "args", { args: ["x".repeat(2 ** 21)] }],
    ["fewer characters than that, of more bytes", "args", { args: ["€".repeat(700_000)] }],
    ["more arguments than may be", "args", { args: Array<string>(32_769).fill("") }],
    ["more variables than may be", "env", { env: Object.fromEntries(manyPaths(32_769)) }],
    ["more ports than may be", "ports", { ports: Object.fromEntries(numbers(32_769)) }],
    [
      "more of meta than may be",
      "meta",
      { meta: Object.fromEntries(numbers(32_769).map(([key]) => [key, ""])) },
    ],
    [
      "more groups than a process can have",
      "supplementary_groups",
      { supplementaryGroups: Array<string>(65_537).fill("1") },
    ],
    ["more mounts than may be", "mounts", { mounts: many(1025) }],
    ["more of them with chroot's", "mounts", { chroot: { "/a": "/a" }, mounts: many(1024) }],
    ["more of chroot than may be", "chroot", { chroot: Object.fromEntries(manyPaths(1025)) }],
    ["too long a line", "command_line", { command: "", commandLine: "€".repeat(43_691) }],
  ];

  it.each(tooLong)("is refused for %s", (_, field, parts) => {
    expect(() => checkConfigure(request(parts))).toThrow(
      expect.objectContaining({ reason: "FIELD_INVALID", field }),
    );
  });
});
