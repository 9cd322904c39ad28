import type { Metadata } from "@grpc/grpc-js";

import type { Caller } from "../../tasks/access/identity.js";

/** By the metadata of a call, which goes with it from the guard to its handler. */
const callers = new WeakMap<Metadata, Caller>();

export function setCaller(metadata: Metadata, caller: Caller): void {
  callers.set(metadata, caller);
}

/** Throws where nobody has told who calls: no handler is to go on then. */
export function callerOfCall({ metadata }: { readonly metadata: Metadata }): Caller {
  const caller = callers.get(metadata);
  if (caller === undefined) throw new Error("a call has come past the guard");
  return caller;
}
