/** The formats of passwd(5) and group(5). Of entries with the same key, the first counts. */
import { ID_MAX } from "../tasks/request/numeric-id.js";

export interface PasswdEntry {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

export interface Passwd {
  readonly byName: ReadonlyMap<string, PasswdEntry>;
  readonly byUid: ReadonlyMap<number, PasswdEntry>;
  /** Every user's primary group. */
  readonly primaryGids: ReadonlySet<number>;
}

export interface Groups {
  readonly byName: ReadonlyMap<string, number>;
  readonly gids: ReadonlySet<number>;
  /** The groups that list a user, by the user's name. */
  readonly ofUser: ReadonlyMap<string, ReadonlySet<number>>;
}

/** Lines that are malformed, comments, or NIS's ("+", "-") are skipped. */
export function parsePasswd(text: string): Passwd {
  const byName = new Map<string, PasswdEntry>();
  const byUid = new Map<number, PasswdEntry>();
  const primaryGids = new Set<number>();
  for (const fields of linesOf(text, 7)) {
    const [name = "", , uidText = "", gidText = ""] = fields;
    const uid = parseId(uidText);
    const gid = parseId(gidText);
    if (uid === undefined || gid === undefined) continue;
    const entry = { name, uid, gid };
    if (!byName.has(name)) byName.set(name, entry);
    if (!byUid.has(uid)) byUid.set(uid, entry);
    primaryGids.add(gid);
  }
  return { byName, byUid, primaryGids };
}

/** As parsePasswd. */
export function parseGroups(text: string): Groups {
  const byName = new Map<string, number>();
  const gids = new Set<number>();
  const ofUser = new Map<string, Set<number>>();
  for (const fields of linesOf(text, 4)) {
    const [name = "", , gidText = "", members = ""] = fields;
    const gid = parseId(gidText);
    if (gid === undefined) continue;
    if (!byName.has(name)) byName.set(name, gid);
    gids.add(gid);
    for (const member of members.split(",")) {
      const listed = ofUser.get(member) ?? new Set();
      ofUser.set(member, listed.add(gid));
    }
  }
  return { byName, gids, ofUser };
}

function linesOf(text: string, fields: number): string[][] {
  return text
    .split("\n")
    .filter((line) => !/^(?:$|[#+:-])/.test(line))
    .map((line) => line.split(":"))
    .filter((parts) => parts.length === fields);
}

export function parseId(text: string): number | undefined {
  if (!/^[0-9]{1,10}$/.test(text)) return undefined;
  const id = Number(text);
  return id <= ID_MAX ? id : undefined;
}
