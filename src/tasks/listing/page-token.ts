/**
 * Where the next page of a listing begins: after this task, whether or not it is still there. So it is good for any
 * time, and for the next daemon.
 */
import { invalidField } from "../errors.js";

const UUID_BYTES = 16;
/** Of the filter's digest, as many: not to keep anything from anybody, but to tell a mistake. */
const FILTER_BYTES = 16;

/** @param filterDigest in hex */
export function pageToken(lastUuid: string, filterDigest: string): string {
  const filter = filterDigest.slice(0, 2 * FILTER_BYTES);
  return Buffer.from(lastUuid.replaceAll("-", "") + filter, "hex").toString("base64url");
}

/** Throws FIELD_INVALID where it is no token, or one of another filter. */
export function uuidOfToken(token: string, filterDigest: string): string {
  const bytes = Buffer.from(token.slice(0, 2 * (UUID_BYTES + FILTER_BYTES)), "base64url");
  if (bytes.length !== UUID_BYTES + FILTER_BYTES || bytes.toString("base64url") !== token) {
    throw invalidField("page_token", "page_token is none that List has answered");
  }
  const hex = bytes.toString("hex", 0, UUID_BYTES);
  const uuid = hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
  if (pageToken(uuid, filterDigest) !== token) {
    throw invalidField("page_token", "page_token is of a request with other states, labels or alloc_id");
  }
  return uuid;
}
