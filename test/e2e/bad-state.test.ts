/** State and alloc directories that are not fit to be the daemon's, and what in them is not of its making. */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";

import { failure, TestDaemon, until } from "../support/daemon";
import { exited, exitOf } from "../support/exits";
import { HandDaemon, refused } from "../support/hand-daemon";
import { listing } from "../support/listing";
import { cgroupRoots, flagsOf, Places, type Place } from "../support/places";
import { itRequires } from "../support/requires";

let places: Places;

beforeAll(() => {
  places = new Places();
});

afterAll(() => places[Symbol.asyncDispose]());

/** In one line, which names what is not fit; and all is as it was. */
function expectRefused(place: Place, why: string): void {
  const parent = parentOf(place);
  const before = listing(parent);
  const { status, stderr } = refused(flagsOf(place));
  expect(stderr).toMatch(/^\{[^\n]+\}\n$/);
  expect((JSON.parse(stderr) as { message: string }).message).toBe(why);
  expect(status).toBe(1);
  expect(listing(parent)).toEqual(before);
  expect(cgroupRoots(place)).toEqual([]);
}

/** The directory that all of a place is in. */
function parentOf({ address }: Place): string {
  return dirname(address.replace("unix:", ""));
}

const mkfifo = (path: string): Buffer => execFileSync("mkfifo", ["-m", "600", path]);

type Which = "state" | "alloc" | "tasks";

/** The path of a directory that is about to be unfit; those that it is in are there, and fit. */
function pathOf(place: Place, which: Which): string {
  if (which !== "tasks") return place[which];
  mkdirSync(place.state, { mode: 0o700 });
  return join(place.state, "tasks");
}

const UNFIT: readonly (readonly [string, (path: string) => void, string])[] = [
  [
    "a link to a directory that would be fit",
    (path) => {
      mkdirSync(`${path}-elsewhere`, { mode: 0o700 });
      symlinkSync(`${path}-elsewhere`, path);
    },
    "is a symbolic link",
  ],
  ["a link that leads nowhere", (path) => symlinkSync("nowhere", path), "is a symbolic link"],
  ["a link to itself", (path) => symlinkSync(path, path), "is a symbolic link"],
  ["a file", (path) => writeFileSync(path, "precious"), "is no directory"],
  ["a fifo", mkfifo, "is no directory"],
  [
    "open to its group",
    (path) => mkdirSync(path, { mode: 0o710 }),
    "is open to other users: its mode must be 0700",
  ],
  [
    "open to everybody",
    (path) => {
      mkdirSync(path);
      chmodSync(path, 0o1777);
    },
    "is open to other users: its mode must be 0700",
  ],
];

describe.each<Which>(["state", "alloc", "tasks"])(
  "a directory for %s is refused, and left, that is",
  (which) => {
    it.each(UNFIT)("%s", (_what, make, why) => {
      const place = places.fresh();
      const path = pathOf(place, which);
      make(path);
      expectRefused(place, `${path} ${why}`);
    });

    itRequires("root", "another user's", () => {
      const place = places.fresh();
      const path = pathOf(place, which);
      mkdirSync(path, { mode: 0o700 });
      chownSync(path, 1, 1);
      expectRefused(place, `${path} belongs to user 1, not to the daemon's`);
      return Promise.resolve();
    });
  },
);

it.each(["state", "alloc"] as const)("a directory for %s is refused that is below a file", (which) => {
  const place = places.fresh();
  const file = join(parentOf(place), "file");
  writeFileSync(file, "");
  const path = join(file, "below");
  expectRefused({ ...place, [which]: path }, `${path} cannot be looked at: ENOTDIR`);
});

describe("an alloc directory is refused, and nothing made, that", () => {
  it.each<[string, (place: Place) => Place]>([
    ["is the state directory", (place) => ({ ...place, alloc: place.state })],
    ["is the directory of the records", (place) => ({ ...place, alloc: join(place.state, "tasks") })],
    ["holds the state directory", (place) => ({ ...place, state: join(place.alloc, "state") })],
  ])("%s", (_what, change) => {
    const place = change(places.fresh());
    const parent = parentOf(place);
    const before = listing(parent);
    const { status, stderr } = refused(flagsOf(place));
    expect(status).toBe(1);
    expect(stderr).toContain("cannot hold alloc directories");
    expect(listing(parent)).toEqual(before);
  });

  it("is another daemon's", () => {
    const place = places.fresh();
    const owner = "0198c3d2-0000-4000-8000-00000000000a";
    mkdirSync(place.alloc, { mode: 0o700 });
    writeFileSync(join(place.alloc, ".owner"), `${owner}\n`);
    expectRefused(place, `${place.alloc} belongs to the daemon whose state directory has id ${owner}`);
  });
});

describe("a state directory is refused, and left, that no daemon has marked, and that holds", () => {
  it.each<[string, (place: Place) => void]>([
    ["somebody's file", ({ state }) => writeFileSync(join(state, "precious"), "")],
    ["somebody's directory", ({ state }) => mkdirSync(join(state, "precious"))],
    ["a link that leads nowhere", ({ state }) => symlinkSync("nowhere", join(state, "precious"))],
    [
      "something where the records would be",
      ({ state }) => {
        mkdirSync(join(state, "tasks"), { mode: 0o700 });
        writeFileSync(join(state, "tasks", "precious"), "");
      },
    ],
  ])("%s", (_what, make) => {
    const place = places.fresh();
    mkdirSync(place.state, { mode: 0o700 });
    make(place);
    expectRefused(place, `${place.state} holds what is no daemon's, and no mark of one`);
  });
});

it("a state directory is taken that holds what a new file system does, and what a daemon that died made first", async () => {
  const place = { ...places.fresh() };
  const within = { ...place, alloc: join(place.state, "below/alloc") };
  mkdirSync(join(place.state, "tasks"), { recursive: true, mode: 0o700 });
  chmodSync(place.state, 0o700);
  mkdirSync(join(place.state, "lost+found"), { mode: 0o700 });
  mkdirSync(within.alloc, { recursive: true, mode: 0o700 });
  await (await HandDaemon.start(flagsOf(within), within.address)).end("SIGTERM");
  expect(readdirSync(place.state).sort()).toEqual(["below", "id", "lost+found", "tasks"]);
});

describe("a mark that says nothing is refused, and left:", () => {
  const NO_ID = "does not hold the id of a state directory";
  const MARKS: readonly (readonly [string, (path: string) => void, string])[] = [
    ["empty", (path) => writeFileSync(path, ""), NO_ID],
    ["half an id", (path) => writeFileSync(path, "0198c3d2-0000-4000"), NO_ID],
    ["garbage", (path) => writeFileSync(path, "\0\xff".repeat(1000)), NO_ID],
    ["a path that leads up", (path) => writeFileSync(path, "../../../../etc\n"), NO_ID],
    [
      "a huge file",
      (path) => {
        writeFileSync(path, "");
        truncateSync(path, 2 ** 40);
      },
      NO_ID,
    ],
    ["a link", (path) => symlinkSync("/etc/hostname", path), "is a symbolic link"],
    ["a directory", (path) => mkdirSync(path), "is no regular file"],
    ["a fifo", mkfifo, "is no regular file"],
  ];
  for (const [which, name] of [
    ["state", "id"],
    ["alloc", ".owner"],
  ] as const) {
    it.each(MARKS)(`${which}/${name} is %s`, (_what, make, why) => {
      const place = places.fresh();
      mkdirSync(place[which], { mode: 0o700 });
      const path = join(place[which], name);
      make(path);
      expectRefused(place, `${path} ${why}`);
    });
  }
});

it("a mark that a daemon which died has left half written is written anew", async () => {
  const place = places.fresh();
  mkdirSync(place.state, { mode: 0o700 });
  writeFileSync(join(place.state, "id.new"), "0198c3d2");
  await (await HandDaemon.start(flagsOf(place), place.address)).end("SIGTERM");
  expect(readFileSync(join(place.state, "id"), "utf8")).toMatch(/^[0-9a-f-]{36}\n$/);
  expect(existsSync(join(place.state, "id.new"))).toBe(false);
});

describe("among good records, what is none of ours is reported, kept, and in nobody's way:", () => {
  const uuid = (n: number): string => `0198c3d2-0000-7000-8000-${n.toString(16).padStart(12, "0")}`;
  const DEEP = 60;

  /** By name in the directory of the records; all is set aside. */
  const GARBAGE: Readonly<Record<string, (path: string) => void>> = {
    "a file": (path) => writeFileSync(path, "precious"),
    "name\nof two lines": (path) => writeFileSync(path, "precious"),
    "-rf": (path) => mkdirSync(path),
    "lost+found": (path) => mkdirSync(path),
    [uuid(1)]: (path) => writeFileSync(path, "a file with the name of a task"),
    [uuid(2)]: (path) => symlinkSync(path, path),
    [uuid(3)]: (path) => symlinkSync("/etc", path),
    [uuid(4)]: mkfifo,
    [uuid(5)]: (path) => {
      mkdirSync(path);
      mkfifo(join(path, "record"));
    },
    [uuid(6)]: (path) => {
      mkdirSync(path);
      writeFileSync(join(path, "record"), "stockade-record 1.0 sha256:");
      truncateSync(join(path, "record"), 2 ** 40);
    },
    [uuid(7)]: (path) => {
      mkdirSync(path);
      symlinkSync("record", join(path, "record"));
    },
    [uuid(8)]: (path) => {
      mkdirSync(join(path, "x/".repeat(DEEP)), { recursive: true });
      writeFileSync(join(path, "x/".repeat(DEEP), "precious"), "");
    },
    [uuid(9)]: (path) => {
      mkdirSync(path);
      writeFileSync(join(path, "precious"), "no record is here");
    },
    [uuid(10)]: (path) => {
      mkdirSync(join(path, "log"), { recursive: true });
      symlinkSync("/etc/hostname", join(path, "log/stdout"));
    },
    [uuid(11).toUpperCase()]: (path) => mkdirSync(path),
  };

  it("it is set aside whole, and every task is recovered", async () => {
    await using daemon = await TestDaemon.start({ end_tasks_on_stop: false });
    const { id } = await daemon.run("exit 7");
    await daemon.end("SIGKILL");
    const state = join(daemon.daemon.directory, "state");
    for (const [name, make] of Object.entries(GARBAGE)) make(join(state, "tasks", name));
    // No task's, and nothing that the daemon looks at.
    writeFileSync(join(state, "precious"), "");
    mkfifo(join(state, "fifo"));
    symlinkSync("loop", join(state, "loop"));
    writeFileSync(join(daemon.allocDir("precious")), "");
    await daemon.startAgain();
    expect(await exitOf(daemon.client, id)).toMatchObject(exited(7));
    expect((await daemon.output(id)).stdout).toBe("");
    await daemon.run("true");
    const aside = join(state, "set-aside");
    expect(readdirSync(aside).sort()).toEqual(Object.keys(GARBAGE).sort());
    expect(existsSync(join(aside, uuid(8), "x/".repeat(DEEP), "precious"))).toBe(true);
    expect(readFileSync(join(aside, uuid(9), "precious"), "utf8")).toBe("no record is here");
    expect(lstatSync(join(aside, uuid(6), "record")).size).toBe(2 ** 40);
    for (const name of Object.keys(GARBAGE)) {
      expect(daemon.logged).toContain(`"name":${JSON.stringify(name)}`);
    }
    for (const name of ["precious", "fifo", "loop"]) expect(readdirSync(state)).toContain(name);
    expect(existsSync(daemon.allocDir("precious"))).toBe(true);
    expect(existsSync("/etc/hostname")).toBe(true);
    expect(daemon.leftovers()).toEqual([]);
  });

  it("it stays where it is where the way aside is a link, which is not followed", async () => {
    await using daemon = await TestDaemon.start({ end_tasks_on_stop: false });
    const { id } = await daemon.run("exit 7");
    await daemon.end("SIGKILL");
    const { directory } = daemon.daemon;
    mkdirSync(join(directory, "elsewhere"));
    symlinkSync(join(directory, "elsewhere"), join(directory, "state/set-aside"));
    const garbage = join(directory, "state/tasks/garbage");
    writeFileSync(garbage, "precious");
    await daemon.startAgain();
    expect(await exitOf(daemon.client, id)).toMatchObject(exited(7));
    expect(readFileSync(garbage, "utf8")).toBe("precious");
    expect(readdirSync(join(directory, "elsewhere"))).toEqual([]);
    expect(daemon.logged).toContain("cannot set aside what is no record");
  });
});

itRequires(
  ["root", "cgroups"],
  "what a Configure that was cut off has made and cannot be removed is in nobody's way, and removed once it can be",
  async () => {
    await using daemon = await TestDaemon.start({ end_tasks_on_stop: false });
    const { id } = await daemon.run("exit 7");
    await daemon.end("SIGKILL");
    const uuid = "0198c3d2-0000-7000-8000-00000000000a";
    const state = join(daemon.daemon.directory, "state");
    mkdirSync(join(state, "tasks", uuid), { mode: 0o700 });
    const cutOff = readFileSync(join(__dirname, "../fixtures/records/1.0/configuring"));
    writeFileSync(join(state, "tasks", uuid, "record"), cutOff);
    const busy = daemon.allocDir("web.1/server");
    mkdirSync(busy, { recursive: true });
    execFileSync("mount", ["-t", "tmpfs", "none", busy]);
    try {
      await daemon.startAgain();
      expect(await exitOf(daemon.client, id)).toMatchObject(exited(7));
      await daemon.run("true");
      const again = daemon.configure({ allocId: "web.1", taskName: "server", command: "/bin/true" });
      expect(await failure(again)).toMatchObject({ reason: "TASK_EXISTS" });
      expect(daemon.logged).toContain("something of a task that has not come to be is left");
    } finally {
      execFileSync("umount", [busy]);
    }
    await until(() => !existsSync(join(state, "tasks", uuid)));
    expect(existsSync(busy)).toBe(false);
    await daemon.run("true", { allocId: "web.1", taskName: "server" });
  },
);
