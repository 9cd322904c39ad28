/** Requests of bytes, by the letter: what a lenient reader would make of the rest is none that the client has sent. */
import { BinaryReader } from "@bufbuild/protobuf/wire";

import { TaskError } from "../tasks/errors.js";
import { checkShape, checkTexts } from "./check-shape.js";
import type { Shape } from "./request-shape.js";

interface RequestType<T> {
  decode(reader: BinaryReader, length: number): T;
}

/** Stand for requests that are not decoded: grpc-js would answer what throws here with INTERNAL. */
const refused = new WeakMap<object, TaskError>();

/** A call whose requests are so read. */
export function strictly<
  T extends object,
  Definition extends { readonly requestDeserialize: (bytes: Buffer) => T },
>(definition: Definition, type: RequestType<T>, shape: Shape): Definition {
  return { ...definition, requestDeserialize: (bytes: Buffer) => decode(type, shape, bytes) };
}

/** To be called before anything is done with a request: throws the TaskError with which it is refused, if it is. */
export function checkDecoded(request: unknown): void {
  const error = refused.get(request as object);
  if (error !== undefined) throw error;
}

function decode<T extends object>(type: RequestType<T>, shape: Shape, bytes: Buffer): T {
  try {
    checkShape(bytes, shape);
    return decodeTexts(type, shape, bytes);
  } catch (error) {
    if (!(error instanceof TaskError)) throw error;
    const instead = type.decode(new BinaryReader(new Uint8Array()), 0);
    refused.set(instead, error);
    return instead;
  }
}

/** In which field the bad one is, is looked for when there is one. */
function decodeTexts<T>(type: RequestType<T>, shape: Shape, bytes: Buffer): T {
  try {
    return type.decode(new StrictReader(bytes), bytes.length);
  } catch (error) {
    checkTexts(bytes, shape);
    throw error;
  }
}

/** Strings are UTF-8 (proto3): one with its bad bytes replaced could be another's path, or the name of another. */
class StrictReader extends BinaryReader {
  override string(): string {
    return super.string(true);
  }
}
