/** Encodes what Logs sends. For chunks, which are nearly all of it, without the generated code's three copies of the data. */
import { BinaryWriter } from "@bufbuild/protobuf/wire";

import { LogChunk, LogsResponse } from "../gen/executor/v1/executor.js";
import { joinOnce } from "./join-once.js";

/** The tag of a length-delimited field. */
const tag = (field: number): number => (field << 3) | 2;

/** LogsResponse.chunk and LogChunk.data. */
const CHUNK_TAG = tag(1);
const DATA_TAG = tag(3);

const NO_DATA = new Uint8Array(0);

/** As LogsResponse.encode. What it answers is overwritten by the next call. */
export function encodeLogsResponse(response: LogsResponse): Buffer {
  if (response.event?.$case !== "chunk") return Buffer.from(LogsResponse.encode(response).finish());
  const { stream, offset, data } = response.event.value;
  const fields = LogChunk.encode({ stream, offset, data: NO_DATA });
  const beforeData = fields.uint32(DATA_TAG).uint32(data.length).finish();
  const head = new BinaryWriter()
    .uint32(CHUNK_TAG)
    .uint32(beforeData.length + data.length)
    .finish();
  return joinOnce(head, beforeData, data);
}
