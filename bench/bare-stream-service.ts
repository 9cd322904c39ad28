import type { MethodDefinition } from "@grpc/grpc-js";

const same = (bytes: Buffer): Buffer => bytes;

/** Bytes as they are; the request is how many, in 8 bytes, little endian. */
export const BARE_STREAM: MethodDefinition<Buffer, Buffer> = {
  path: "/bench.Bare/Stream",
  requestStream: false,
  responseStream: true,
  requestSerialize: same,
  requestDeserialize: same,
  responseSerialize: same,
  responseDeserialize: same,
};
