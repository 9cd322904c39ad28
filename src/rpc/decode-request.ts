/** Requests of bytes, by the letter: what a lenient reader would make of the rest is none that the client has sent. */
import { BinaryReader } from "@bufbuild/protobuf/wire";

interface RequestType<T> {
  decode(reader: BinaryReader, length: number): T;
}

/** A call whose requests are so read. What throws is answered by grpc-js, with INTERNAL. */
export function strictly<T, Definition extends { readonly requestDeserialize: (bytes: Buffer) => T }>(
  definition: Definition,
  type: RequestType<T>,
): Definition {
  return { ...definition, requestDeserialize: (bytes: Buffer) => decode(type, bytes) };
}

/** Throws for bytes that are no message. */
function decode<T>(type: RequestType<T>, bytes: Buffer): T {
  const reader = new StrictReader(bytes);
  const request = type.decode(reader, bytes.length);
  // The generated code ends at a tag that cannot be, and says nothing.
  if (reader.pos !== bytes.length) throw new Error("a tag that cannot be");
  return request;
}

/** Strings are UTF-8 (proto3): one with its bad bytes replaced could be another's path, or the name of another. */
class StrictReader extends BinaryReader {
  override string(): string {
    return super.string(true);
  }
}
