/** The host's users and groups, and which of them a task may have. */
import { missingField, TaskError } from "../tasks/errors.js";
import { ID_MAX, parseNumericId } from "../tasks/request/numeric-id.js";
import type { User, UserDirectory, UserRequest } from "../tasks/ports-users.js";
import { CachedFile } from "./cached-file.js";
import { parseGroups, parsePasswd, type Groups, type Passwd } from "./user-database.js";

/** Exists on every Linux host, and owns nothing. Source: Debian policy 9.2.2; LSB, "User & Group Names". */
const DEFAULT_USER = "nobody";

export interface HostUsersOptions {
  /** The uid and gid of every task's init: a task with one of them could reach it. */
  readonly initUid: number;
  /** The one user and group there is, for a daemon that cannot become another; undefined: any. */
  readonly only: { readonly uid: number; readonly gid: number } | undefined;
  readonly passwdPath?: string;
  readonly groupPath?: string;
}

/** A user as found; without a name: a number without an entry. */
interface Found {
  readonly uid: number;
  readonly gid: number | undefined;
  readonly name: string | undefined;
}

interface Database {
  readonly passwd: Passwd;
  readonly groups: Groups;
}

/**
 * Looks users up in the host's files: by number first, then by name. The files are read again
 * when they have changed.
 */
export class HostUsers implements UserDirectory {
  private readonly passwd: CachedFile<Passwd>;
  private readonly groups: CachedFile<Groups>;

  constructor(private readonly options: HostUsersOptions) {
    this.passwd = new CachedFile(options.passwdPath ?? "/etc/passwd", parsePasswd);
    this.groups = new CachedFile(options.groupPath ?? "/etc/group", parseGroups);
  }

  /** Whose uid it is; undefined: nobody's. */
  async nameOf(uid: number): Promise<string | undefined> {
    const { byUid } = await this.passwd.read();
    return byUid.get(uid)?.name;
  }

  /** Of whom a file of the daemon's is to be; undefined stays so. Throws a TaskError for a name that is not there. */
  async idsOf(user: string | undefined, group: string | undefined): Promise<{ uid?: number; gid?: number }> {
    const [passwd, groups] = await Promise.all([this.passwd.read(), this.groups.read()]);
    const database = { passwd, groups };
    return {
      ...(user === undefined ? {} : { uid: findUser(user, database).uid }),
      ...(group === undefined ? {} : { gid: findGroup("group", group, database) }),
    };
  }

  async lookup(request: UserRequest): Promise<User> {
    const [passwd, groups] = await Promise.all([this.passwd.read(), this.groups.read()]);
    const database = { passwd, groups };
    const { only } = this.options;
    return only === undefined ? this.lookupAny(request, database) : lookupOnly(request, database, only);
  }

  private lookupAny(request: UserRequest, database: Database): User {
    const user = findUser(request.user === "" ? DEFAULT_USER : request.user, database);
    const { initUid } = this.options;
    if (user.uid === 0 || user.uid === ID_MAX || user.uid === initUid) throw forbiddenUser();
    const usable = (gid: number): boolean =>
      gid !== 0 && gid !== ID_MAX && gid !== initUid && mayHave(user, gid, database);

    const primary = request.group === "" ? user.gid : findGroup("group", request.group, database);
    if (primary === undefined) throw missingField("group");
    if (!usable(primary)) throw forbiddenGroup("group");
    const supplementary = request.supplementaryGroups.map((text, index) => {
      const field = `supplementary_groups[${index}]`;
      const found = findGroup(field, text, database);
      if (!usable(found)) throw forbiddenGroup(field);
      return found;
    });
    return Object.freeze({
      uid: user.uid,
      gid: primary,
      groups: Object.freeze([...new Set(supplementary)]),
      name: user.name ?? String(user.uid),
    });
  }
}

/** A process without privileges can neither change its user nor set groups: what may be asked for is what it has. */
function lookupOnly(
  request: UserRequest,
  database: Database,
  only: { readonly uid: number; readonly gid: number },
): User {
  const { uid, gid } = only;
  if (request.user !== "" && findUser(request.user, database).uid !== uid) throw forbiddenUser();
  const asked = [
    ...(request.group === "" ? [] : [["group", request.group] as const]),
    ...request.supplementaryGroups.map((text, index) => [`supplementary_groups[${index}]`, text] as const),
  ];
  for (const [field, text] of asked) {
    if (findGroup(field, text, database) !== gid) throw forbiddenGroup(field);
  }
  const name = database.passwd.byUid.get(uid)?.name ?? String(uid);
  return Object.freeze({ uid, gid, groups: Object.freeze([]), name });
}

function findUser(text: string, { passwd }: Database): Found {
  const number = parseNumericId(text);
  const entry = (number === undefined ? undefined : passwd.byUid.get(number)) ?? passwd.byName.get(text);
  if (entry !== undefined) return entry;
  if (number !== undefined && !Number.isNaN(number)) {
    return { uid: number, gid: undefined, name: undefined };
  }
  throw new TaskError({ reason: "USER_UNKNOWN", field: "user", message: "user is no user of this host" });
}

function findGroup(field: string, text: string, { groups }: Database): number {
  const number = parseNumericId(text);
  if (number !== undefined && groups.gids.has(number)) return number;
  const named = groups.byName.get(text);
  if (named !== undefined) return named;
  if (number !== undefined && !Number.isNaN(number)) return number;
  throw new TaskError({
    reason: "GROUP_UNKNOWN",
    field,
    message: `${field} is no group of this host`,
  });
}

/**
 * A user with an entry may have its primary group and those that list it. A number without one is a
 * member of nothing: it may have a group that is nobody's either, and the default user's.
 */
function mayHave(user: Found, gid: number, { passwd, groups }: Database): boolean {
  if (user.name !== undefined) {
    return gid === user.gid || groups.ofUser.get(user.name)?.has(gid) === true;
  }
  if (gid === passwd.byName.get(DEFAULT_USER)?.gid) return true;
  return !groups.gids.has(gid) && !passwd.primaryGids.has(gid);
}

function forbiddenUser(): TaskError {
  return new TaskError({
    reason: "USER_FORBIDDEN",
    field: "user",
    message: "user is one that tasks cannot run as",
  });
}

function forbiddenGroup(field: string): TaskError {
  return new TaskError({
    reason: "GROUP_FORBIDDEN",
    field,
    message: `${field} is a group that the user is no member of, or that no task can have`,
  });
}
