/** Requests of bytes, by the letter: what a lenient reader would make of the rest is none that the client has sent. */
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";

/** Ours: more than any request may have. An empty file is two bytes, and takes microseconds to be made of them. */
const FIELDS_MAX = 2 ** 18;

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
  checkFields(bytes);
  return type.decode(new StrictReader(bytes), bytes.length);
}

/** The generated code would end at a tag that cannot be, and say nothing. */
function checkFields(bytes: Buffer): void {
  const reader = new BinaryReader(bytes);
  for (let fields = 1; reader.pos < reader.len; fields++) {
    if (fields > FIELDS_MAX) throw new Error("more fields than any request has");
    const [field, wireType] = reader.tag();
    if (wireType === WireType.LengthDelimited) {
      // skip() would make an object of it.
      const length = reader.uint32();
      reader.pos += length;
    } else {
      reader.skip(wireType, field);
    }
  }
  if (reader.pos !== reader.len) throw new Error("a field ends beyond the end");
}

/** Strings are UTF-8 (proto3): one with its bad bytes replaced could be another's path, or the name of another. */
class StrictReader extends BinaryReader {
  override string(): string {
    return super.string(true);
  }
}
