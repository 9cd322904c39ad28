import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";

import { OwnDaemon } from "../../src/cli/own-daemon";
import type { ConfigureFields } from "../../src/client";
import { failure, isRoot, PROGRAM, TestDaemon } from "../support/daemon";
import { exited, exitOf, neverStarted } from "../support/exits";
import { expectNothingLeft } from "../support/leftovers";
import { itRequires } from "../support/requires";

/** A number that has no entry in /etc/passwd, nor in /etc/group. */
const NO_ENTRY = freeNumber();

interface Entry {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** All users that a task may run as: not root, nor in a group with number 0. */
const USERS: readonly Entry[] = lines("/etc/passwd")
  .map(([name = "", , uid, gid]) => ({ name, uid: Number(uid), gid: Number(gid) }))
  .filter(({ uid, gid }) => uid > 0 && gid > 0);

const NOBODY = USERS.find(({ name }) => name === "nobody") ?? { name: "nobody", uid: 65534, gid: 65534 };
const OTHER = USERS.find(({ uid }) => uid !== NOBODY.uid) ?? NOBODY;

let daemon: TestDaemon;

beforeAll(async () => {
  daemon = await TestDaemon.start();
});

afterAll(async () => {
  await daemon?.[Symbol.asyncDispose]();
});

afterEach(() => expectNothingLeft(daemon));

interface Identity {
  readonly uids: string;
  readonly gids: string;
  readonly groups: string;
  readonly umask: string;
  readonly home: string;
  readonly user: string;
  readonly logname: string;
}

/** Who a task is, told from inside by the kernel and the environment. */
async function identity(request: ConfigureFields): Promise<Identity> {
  const script = 'cat /proc/self/status; printf "HOME: %s\\nUSER: %s\\nLOGNAME: %s\\n" $HOME $USER $LOGNAME';
  const ran = await daemon.run(script, request);
  expect(ran).toMatchObject({ exit: exited(0), stderr: "" });
  const told = new Map(
    ran.stdout.split("\n").map((line) => {
      const [name = "", ...values] = line.split(/[:\s]+/);
      return [name, values.join(" ").trim()];
    }),
  );
  const get = (name: string): string => told.get(name) ?? "absent";
  return {
    uids: get("Uid"),
    gids: get("Gid"),
    groups: get("Groups"),
    umask: get("Umask"),
    home: get("HOME"),
    user: get("USER"),
    logname: get("LOGNAME"),
  };
}

/** All four: real, effective, saved, and of the file system. */
function four(id: number): string {
  return Array.from({ length: 4 }, () => id).join(" ");
}

function lines(path: string): string[][] {
  return readFileSync(path, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.split(":"));
}

function freeNumber(): number {
  const taken = new Set(
    ["/etc/passwd", "/etc/group"].flatMap((path) => lines(path).map((line) => Number(line[2]))),
  );
  const free = Array.from({ length: 1000 }, (_, index) => 54_321 + index).find((id) => !taken.has(id));
  if (free === undefined) throw new Error("all numbers are taken");
  return free;
}

describe("the task's user", () => {
  itRequires("root", "is nobody by default, in no group but its own, with HOME at /local", async () => {
    expect(await identity({})).toEqual({
      uids: four(NOBODY.uid),
      gids: four(NOBODY.gid),
      groups: "",
      umask: "0022",
      home: "/local",
      user: "nobody",
      logname: "nobody",
    });
  });

  itRequires("plain-user", "is the daemon's own by default where it has no other", async () => {
    const { uid, gid, username } = userInfo();
    expect(await identity({})).toMatchObject({
      uids: four(uid),
      gids: four(gid),
      home: "/local",
      user: username,
    });
  });

  itRequires("root", "is found by name, with its own group", async () => {
    expect(await identity({ user: OTHER.name })).toMatchObject({
      uids: four(OTHER.uid),
      gids: four(OTHER.gid),
      groups: "",
      home: "/local",
      user: OTHER.name,
    });
  });

  itRequires("root", "is found by number, with its name and group from the host's files", async () => {
    expect(await identity({ user: String(OTHER.uid) })).toMatchObject({
      uids: four(OTHER.uid),
      gids: four(OTHER.gid),
      groups: "",
      user: OTHER.name,
      logname: OTHER.name,
    });
  });

  itRequires("root", "may be a number without an entry, with a group that is nobody's", async () => {
    const id = String(NO_ENTRY);
    expect(await identity({ user: id, group: id })).toMatchObject({
      uids: four(NO_ENTRY),
      gids: four(NO_ENTRY),
      groups: "",
      user: id,
      logname: id,
    });
  });

  itRequires("root", "may be the highest number there is below -1", async () => {
    const id = "4294967294";
    const { uids, gids } = await identity({ user: id, group: id });
    expect([uids, gids]).toEqual([four(4_294_967_294), four(4_294_967_294)]);
  });

  itRequires("root", "needs a group where it is a number without an entry", async () => {
    const error = await failure(daemon.configure({ command: "/bin/true", user: String(NO_ENTRY) }));
    expect(error).toMatchObject({ code: "INVALID_ARGUMENT", reason: "FIELD_MISSING", field: "group" });
  });

  itRequires("root", "owns /local, and can write there", async () => {
    const id = String(NO_ENTRY);
    const { stdout } = await daemon.run("touch /local/mine && stat -c '%u %g' /local/mine", {
      user: id,
      group: id,
    });
    expect(stdout).toBe(`${id} ${id}\n`);
  });
});

describe("groups of a user who is listed in others than its own", () => {
  let own: OwnDaemon | undefined;
  let directory = "";
  const { name } = OTHER;
  const GROUP = { name: "stockade-test-extra", gid: NO_ENTRY };

  /** A daemon that sees an /etc/group with one line more. */
  beforeAll(async () => {
    if (!isRoot()) return;
    directory = await mkdtemp(join(tmpdir(), "stockade-users-"));
    const groups = join(directory, "group");
    const program = join(directory, "stockaded");
    const line = `${GROUP.name}:x:${GROUP.gid}:nobody,${name}\n`;
    await writeFile(groups, readFileSync("/etc/group", "utf8") + line);
    const mountAndRun = `mount --bind '${groups}' /etc/group && exec '${PROGRAM}' "$@"`;
    const script = `#!/bin/sh\nexec unshare --mount sh -c '${mountAndRun.replaceAll("'", `'\\''`)}' sh "$@"\n`;
    await writeFile(program, script, { mode: 0o755 });
    own = await OwnDaemon.start({ program, cgroupRoot: `/stockade-test-users-${process.pid}` });
  });

  afterAll(async () => {
    await own?.[Symbol.asyncDispose]();
    await rm(directory, { recursive: true, force: true });
  });

  /** The lines of /proc/self/status that tell a task's groups. */
  async function groupsOf(request: ConfigureFields): Promise<string> {
    if (own === undefined) throw new Error("the daemon does not run");
    const { client } = own;
    const command = { command: "/bin/grep", args: ["-E", "^(Gid|Groups):", "/proc/self/status"] };
    const taskName = daemon.freshName();
    const { id } = await client.configure({
      allocId: "groups",
      taskName,
      user: name,
      ...command,
      ...request,
    });
    await client.start(id);
    expect(await exitOf(client, id)).toMatchObject(exited(0));
    const uuid = id.split("/").at(-1) ?? "";
    const told = readFileSync(join(own.directory, "state/tasks", uuid, "log/stdout"), "utf8");
    return told
      .trim()
      .replaceAll(/[ \t]+/g, " ")
      .replaceAll(/ $/gm, "");
  }

  itRequires("root", "are supplementary when asked for, by number and by name", async () => {
    for (const group of [String(GROUP.gid), GROUP.name]) {
      const told = await groupsOf({ supplementaryGroups: [group] });
      expect(told).toBe(`Gid: ${four(OTHER.gid)}\nGroups: ${GROUP.gid}`);
    }
  });

  itRequires("root", "are none that were not asked for", async () => {
    expect(await groupsOf({})).toBe(`Gid: ${four(OTHER.gid)}\nGroups:`);
  });

  itRequires("root", "may be the primary one", async () => {
    expect(await groupsOf({ group: GROUP.name })).toBe(`Gid: ${four(GROUP.gid)}\nGroups:`);
  });

  itRequires("root", "may be both, the user's own as a supplementary one", async () => {
    const request = { group: GROUP.name, supplementaryGroups: [String(OTHER.gid)] };
    expect(await groupsOf(request)).toBe(`Gid: ${four(GROUP.gid)}\nGroups: ${OTHER.gid}`);
  });
});

/** Configure's answer to users and groups that cannot be. */
const REFUSED: readonly [ConfigureFields, string, string, string][] = [
  [{ user: "4294967295", group: String(NO_ENTRY) }, "PERMISSION_DENIED", "USER_FORBIDDEN", "user"],
  [{ user: "4294967296", group: String(NO_ENTRY) }, "INVALID_ARGUMENT", "FIELD_INVALID", "user"],
  [{ user: "8589934592", group: String(NO_ENTRY) }, "INVALID_ARGUMENT", "FIELD_INVALID", "user"],
  [{ user: "18446744073709551616" }, "INVALID_ARGUMENT", "FIELD_INVALID", "user"],
  [{ user: "-1" }, "INVALID_ARGUMENT", "USER_UNKNOWN", "user"],
  [{ user: "0" }, "PERMISSION_DENIED", "USER_FORBIDDEN", "user"],
  [{ user: "root" }, "PERMISSION_DENIED", "USER_FORBIDDEN", "user"],
  [{ user: "00" }, "INVALID_ARGUMENT", "USER_UNKNOWN", "user"],
  [{ user: "65533", group: String(NO_ENTRY) }, "PERMISSION_DENIED", "USER_FORBIDDEN", "user"],
  [{ user: "no-such-user" }, "INVALID_ARGUMENT", "USER_UNKNOWN", "user"],
  [{ user: "nobody", group: "0" }, "PERMISSION_DENIED", "GROUP_FORBIDDEN", "group"],
  [{ user: "nobody", group: "root" }, "PERMISSION_DENIED", "GROUP_FORBIDDEN", "group"],
  [{ user: "nobody", group: "4294967295" }, "PERMISSION_DENIED", "GROUP_FORBIDDEN", "group"],
  [{ user: "nobody", group: "4294967296" }, "INVALID_ARGUMENT", "FIELD_INVALID", "group"],
  [{ user: "nobody", group: "-1" }, "INVALID_ARGUMENT", "GROUP_UNKNOWN", "group"],
  [{ user: "nobody", group: "65533" }, "PERMISSION_DENIED", "GROUP_FORBIDDEN", "group"],
  [{ user: "nobody", group: "no-such-group" }, "INVALID_ARGUMENT", "GROUP_UNKNOWN", "group"],
  [{ user: "nobody", group: "daemon" }, "PERMISSION_DENIED", "GROUP_FORBIDDEN", "group"],
  [{ supplementaryGroups: ["0"] }, "PERMISSION_DENIED", "GROUP_FORBIDDEN", "supplementary_groups[0]"],
  [
    { supplementaryGroups: [String(NOBODY.gid), "daemon"] },
    "PERMISSION_DENIED",
    "GROUP_FORBIDDEN",
    "supplementary_groups[1]",
  ],
  [{ supplementaryGroups: ["4294967296"] }, "INVALID_ARGUMENT", "FIELD_INVALID", "supplementary_groups[0]"],
];

for (const [request, code, reason, field] of REFUSED) {
  itRequires("root", `refuses ${JSON.stringify(request)}: ${reason}`, async () => {
    const error = await failure(daemon.configure({ command: "/bin/true", ...request }));
    expect(error).toMatchObject({ code, reason, field });
  });
}

itRequires("plain-user", "a daemon that cannot become another refuses all users but its own", async () => {
  for (const user of ["0", "root"]) {
    const error = await failure(daemon.configure({ command: "/bin/true", user }));
    expect(error).toMatchObject({ code: "PERMISSION_DENIED", reason: "USER_FORBIDDEN", field: "user" });
  }
  const own = await daemon.configure({ command: "/bin/true", user: userInfo().username });
  await daemon.client.forceStop(own);
  expect(await exitOf(daemon.client, own)).toMatchObject(neverStarted());
});
