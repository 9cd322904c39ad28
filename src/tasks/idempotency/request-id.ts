import { invalidField } from "../errors.js";
import type { LimitAnswer } from "../limits.js";
import type { Unenforced } from "../unenforced.js";

/** A request that can be repeated: the caller's name for it, and what it asked for. */
export interface RequestMark {
  readonly id: string;
  /** Of all that the request holds but the id (digest.ts): what is secret of it is on no record. */
  readonly digest: string;
}

/** One that has been answered: with the id of the task that has it on record, and with this. */
export interface AnsweredRequest extends RequestMark {
  readonly unenforced: readonly Unenforced[];
  /** Of the limits that it asked for; undefined: none, or they have not been set. */
  readonly limited: LimitAnswer | undefined;
}

/** Printable ASCII. */
export const REQUEST_ID = /^[ -~]{1,128}$/;

/** Undefined: there is none. Throws FIELD_INVALID. */
export function checkRequestId(requestId: string): string | undefined {
  if (requestId === "") return undefined;
  if (!REQUEST_ID.test(requestId)) {
    throw invalidField("request_id", "request_id must be at most 128 printable ASCII characters");
  }
  return requestId;
}
