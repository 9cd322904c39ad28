import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { HostUsers, type HostUsersOptions } from "../../src/host/users.js";
import type { ErrorReason } from "../../src/tasks/errors.js";
import type { UserRequest } from "../../src/tasks/ports-users.js";

const PASSWD = `root:x:0:0:root:/root:/bin/bash
toor:x:00:0::/root:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
alice:x:1000:1000:Alice,,,:/home/alice:/bin/bash
alias:x:1000:1000::/home/alice:/bin/bash
bob:x:1001:100::/home/bob:/bin/sh
rooted:x:1002:0::/home/rooted:/bin/sh
2000:x:1003:1003::/:/bin/sh
initlike:x:65533:65534::/:/bin/sh
initgroup:x:1004:65533::/:/bin/sh
max:x:4294967295:100::/:/bin/sh
alice:x:1:1:second:/:/bin/sh

# daemon:x:1:1:comment:/:/bin/sh
+nis:x:3000:3000::/:/bin/sh
-out:x:3001:3001::/:/bin/sh
short:x:3002
negative:x:-1:100::/:/bin/sh
spaced:x: 3003:100::/:/bin/sh
hex:x:0x10:100::/:/bin/sh
wrapped:x:4294967296:100::/:/bin/sh
nogid:x:3004:::/:/bin/sh
`;

const GROUP = `root:x:0:rooted,alice
nogroup:x:65534:
alice:x:1000:
users:x:100:
shadow:x:42:
docker:x:998:alice,bob
docker:x:42:carol
empty:x:999:
twothousand:x:1003:
inits:x:65533:alice
wrapped:x:4294967296:alice
4000:x:997:alice
`;

let dir: string;
let options: HostUsersOptions & { readonly passwdPath: string; readonly groupPath: string };
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "stockade-users-"));
  options = {
    initUid: 65_533,
    only: undefined,
    passwdPath: join(dir, "passwd"),
    groupPath: join(dir, "group"),
  };
  await Promise.all([writeFile(options.passwdPath, PASSWD), writeFile(options.groupPath, GROUP)]);
});
afterEach(() => rm(dir, { recursive: true }));

function asked(user = "", group = "", supplementaryGroups: readonly string[] = []): UserRequest {
  return { user, group, supplementaryGroups };
}

function error(reason: ErrorReason, field: string): unknown {
  return expect.objectContaining({ reason, field });
}

describe("a user", () => {
  it.each([
    [asked(), { uid: 65534, gid: 65534, groups: [], name: "nobody" }],
    [asked("alice"), { uid: 1000, gid: 1000, groups: [], name: "alice" }],
    [asked("1000"), { uid: 1000, gid: 1000, groups: [], name: "alice" }],
    [asked("alias"), { uid: 1000, gid: 1000, groups: [], name: "alias" }],
    [asked("bob"), { uid: 1001, gid: 100, groups: [], name: "bob" }],
    [asked("2000"), { uid: 1003, gid: 1003, groups: [], name: "2000" }],
    [asked("alice", "docker"), { uid: 1000, gid: 998, groups: [], name: "alice" }],
    [asked("alice", "998"), { uid: 1000, gid: 998, groups: [], name: "alice" }],
    [asked("alice", "4000"), { uid: 1000, gid: 997, groups: [], name: "alice" }],
    [asked("bob", "users"), { uid: 1001, gid: 100, groups: [], name: "bob" }],
    [
      asked("alice", "", ["docker", "998", "alice"]),
      { uid: 1000, gid: 1000, groups: [998, 1000], name: "alice" },
    ],
    [asked("5000", "5000"), { uid: 5000, gid: 5000, groups: [], name: "5000" }],
    [asked("5000", "6000", ["7000"]), { uid: 5000, gid: 6000, groups: [7000], name: "5000" }],
    [asked("5000", "nogroup"), { uid: 5000, gid: 65534, groups: [], name: "5000" }],
    [asked("4294967294", "5000"), { uid: 4294967294, gid: 5000, groups: [], name: "4294967294" }],
  ])("of %j is %j", async (request, user) => {
    expect(await new HostUsers(options).lookup(request)).toEqual(user);
  });

  it.each<readonly [UserRequest, ErrorReason, string]>([
    ...[
      "carol",
      "01",
      "00",
      "+1",
      "-1",
      " 1000",
      "1000 ",
      "0x1",
      "4294967296",
      "daemon",
      "nis",
      "+nis",
      "-out",
    ].map((name) => [asked(name), "USER_UNKNOWN", "user"] as const),
    ...["short", "negative", "spaced", "hex", "wrapped", "nogid", "__proto__"].map(
      (name) => [asked(name), "USER_UNKNOWN", "user"] as const,
    ),
    ...["root", "0", "toor", "max", "4294967295", "initlike", "65533"].map(
      (name) => [asked(name), "USER_FORBIDDEN", "user"] as const,
    ),
    [asked("0", "5000"), "USER_FORBIDDEN", "user"],
    [asked("5000"), "FIELD_MISSING", "group"],
    [asked("alice", "wheel"), "GROUP_UNKNOWN", "group"],
    [asked("alice", "wrapped"), "GROUP_UNKNOWN", "group"],
    [asked("alice", "4294967296"), "GROUP_UNKNOWN", "group"],
    [asked("alice", "shadow"), "GROUP_FORBIDDEN", "group"],
    [asked("alice", "42"), "GROUP_FORBIDDEN", "group"],
    [asked("alice", "5000"), "GROUP_FORBIDDEN", "group"],
    [asked("alias", "docker"), "GROUP_FORBIDDEN", "group"],
    [asked("alice", "root"), "GROUP_FORBIDDEN", "group"],
    [asked("alice", "0"), "GROUP_FORBIDDEN", "group"],
    [asked("alice", "inits"), "GROUP_FORBIDDEN", "group"],
    [asked("alice", "4294967295"), "GROUP_FORBIDDEN", "group"],
    [asked("rooted"), "GROUP_FORBIDDEN", "group"],
    [asked("initgroup"), "GROUP_FORBIDDEN", "group"],
    [asked("5000", "shadow"), "GROUP_FORBIDDEN", "group"],
    [asked("5000", "1000"), "GROUP_FORBIDDEN", "group"],
    [asked("5000", "0"), "GROUP_FORBIDDEN", "group"],
    [asked("5000", "65533"), "GROUP_FORBIDDEN", "group"],
    [asked("alice", "", ["docker", "shadow"]), "GROUP_FORBIDDEN", "supplementary_groups[1]"],
    [asked("alice", "", ["0"]), "GROUP_FORBIDDEN", "supplementary_groups[0]"],
    [asked("alice", "", ["wheel"]), "GROUP_UNKNOWN", "supplementary_groups[0]"],
    [asked("5000", "5000", ["docker"]), "GROUP_FORBIDDEN", "supplementary_groups[0]"],
  ])("of %j is refused: %s of %s", async (request, reason, field) => {
    await expect(new HostUsers(options).lookup(request)).rejects.toEqual(error(reason, field));
  });

  it("is looked up in the files as they are now", async () => {
    const users = new HostUsers(options);
    await expect(users.lookup(asked("carol"))).rejects.toEqual(error("USER_UNKNOWN", "user"));
    await writeFile(options.passwdPath, `${PASSWD}carol:x:1100:1100::/:/bin/sh\n`);
    expect(await users.lookup(asked("carol"))).toMatchObject({ uid: 1100 });
    await expect(users.lookup(asked("carol", "43"))).rejects.toEqual(error("GROUP_FORBIDDEN", "group"));
    await writeFile(options.groupPath, GROUP.replace("root:x:0:", "extra:x:43:carol\nroot:x:0:"));
    expect(await users.lookup(asked("carol", "43"))).toMatchObject({ gid: 43 });
    await rm(options.passwdPath);
    await expect(users.lookup(asked("carol"))).rejects.toEqual(error("USER_UNKNOWN", "user"));
  });

  it("cannot be found where there are no files, and a number still can be used", async () => {
    await Promise.all([rm(options.passwdPath), rm(options.groupPath)]);
    const users = new HostUsers(options);
    await expect(users.lookup(asked())).rejects.toEqual(error("USER_UNKNOWN", "user"));
    expect(await users.lookup(asked("5000", "5000"))).toMatchObject({ uid: 5000, gid: 5000 });
  });

  it("cannot be looked up where a file cannot be read", async () => {
    const users = new HostUsers({ ...options, passwdPath: dir });
    await expect(users.lookup(asked())).rejects.toMatchObject({ code: "EISDIR" });
  });
});

describe("the user of a daemon that cannot become another", () => {
  const only = { uid: 1000, gid: 1000 };

  it.each([asked(), asked("alice"), asked("1000"), asked("", "alice"), asked("alice", "1000", ["alice"])])(
    "is its own: %j",
    async (request) => {
      const users = new HostUsers({ ...options, only });
      expect(await users.lookup(request)).toEqual({ uid: 1000, gid: 1000, groups: [], name: "alice" });
    },
  );

  it("is its number where it has no entry", async () => {
    const users = new HostUsers({ ...options, only: { uid: 5000, gid: 5000 } });
    expect(await users.lookup(asked())).toEqual({ uid: 5000, gid: 5000, groups: [], name: "5000" });
  });

  it.each<readonly [UserRequest, ErrorReason, string]>([
    [asked("nobody"), "USER_FORBIDDEN", "user"],
    [asked("0"), "USER_FORBIDDEN", "user"],
    [asked("carol"), "USER_UNKNOWN", "user"],
    [asked("", "docker"), "GROUP_FORBIDDEN", "group"],
    [asked("", "", ["docker"]), "GROUP_FORBIDDEN", "supplementary_groups[0]"],
  ])("is no other: %j is %s of %s", async (request, reason, field) => {
    const users = new HostUsers({ ...options, only });
    await expect(users.lookup(request)).rejects.toEqual(error(reason, field));
  });
});
