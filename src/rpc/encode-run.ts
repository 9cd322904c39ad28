/** Encodes what Run sends. For output, which is nearly all of it, without the generated code's copies of the data. */
import { BinaryWriter } from "@bufbuild/protobuf/wire";

import { RunResponse } from "../gen/executor/v1/executor.js";
import { joinOnce } from "./join-once.js";

/** Field number and wire type of a length-delimited field. */
const TAGS = { stdout: (2 << 3) | 2, stderr: (3 << 3) | 2 } as const;

/** As RunResponse.encode. What it answers is overwritten by the next call. */
export function encodeRunResponse(response: RunResponse): Buffer {
  const { event } = response;
  if (event?.$case !== "stdout" && event?.$case !== "stderr") {
    return Buffer.from(RunResponse.encode(response).finish());
  }
  const head = new BinaryWriter().uint32(TAGS[event.$case]).uint32(event.value.length).finish();
  return joinOnce(head, event.value);
}
