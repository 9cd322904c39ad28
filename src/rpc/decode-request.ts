/** Requests of bytes, by the letter: what a lenient reader would make of the rest is none that the client has sent. */
import { BinaryReader } from "@bufbuild/protobuf/wire";

import type { Caller } from "../tasks/access/identity.js";
import { turns } from "../tasks/concurrency/fair-turns.js";
import { TaskError } from "../tasks/errors.js";
import { checkShape, checkTexts } from "./check-shape.js";
import { largeRequests, type LargeRequest } from "./large-requests.js";
import type { Shape } from "./request-shape.js";

interface RequestType<T> {
  decode(reader: BinaryReader, length: number): T;
}

/** Stand for requests that are not decoded: grpc-js would answer what throws here with INTERNAL. */
const refused = new WeakMap<object, TaskError>();

/** From so many bytes on a request is decoded in a turn of its own. */
const LARGE_BYTES = 65_536;

/** Stand for requests that are not decoded yet. */
const large = new WeakMap<object, LargeRequest<unknown>>();

/** A call whose requests are so read. */
export function strictly<
  T extends object,
  Definition extends { readonly requestDeserialize: (bytes: Buffer) => T },
>(definition: Definition, type: RequestType<T>, shape: Shape): Definition {
  return { ...definition, requestDeserialize: (bytes: Buffer) => decode(type, shape, bytes) };
}

/**
 * The request that a handler has been given, in a turn that has time for it. Rejects with the TaskError with which it is
 * refused, if it is, and with the reason of `signal`.
 */
export async function decoded<Request>(request: Request, by: Caller, signal: AbortSignal): Promise<Request> {
  const deferred = large.get(request as object) as LargeRequest<Request> | undefined;
  const whole = deferred === undefined ? request : await largeRequests.decode(deferred, by, signal);
  await turns.enter();
  signal.throwIfAborted();
  checkDecoded(request);
  return whole;
}

/** Throws the TaskError with which a request is refused, if it is. */
export function checkDecoded(request: unknown): void {
  const error = refused.get(request as object);
  if (error !== undefined) throw error;
}

function decode<T extends object>(type: RequestType<T>, shape: Shape, bytes: Buffer): T {
  try {
    checkShape(bytes, shape);
    if (bytes.length < LARGE_BYTES) return decodeTexts(type, shape, bytes);
  } catch (error) {
    if (!(error instanceof TaskError)) throw error;
    const instead = nothing(type);
    refused.set(instead, error);
    return instead;
  }
  const instead = nothing(type);
  large.set(instead, { bytes: bytes.length, decode: () => decodeTexts(type, shape, bytes) });
  return instead;
}

function nothing<T>(type: RequestType<T>): T {
  return type.decode(new BinaryReader(new Uint8Array()), 0);
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

/** From so many bytes on a string is read by Node: the way of BinaryReader takes two to three times as long. */
const LONG_BYTES = 16;

/** Strings are UTF-8 (proto3): one with its bad bytes replaced could be another's path, or the name of another. */
class StrictReader extends BinaryReader {
  constructor(private readonly request: Buffer) {
    super(request);
  }

  override string(): string {
    const begin = this.pos;
    const length = this.uint32();
    const end = this.pos + length;
    if (length >= LONG_BYTES && end <= this.len) {
      const text = this.request.toString("utf8", this.pos, end);
      // Stands for each byte that is none of UTF-8, and may stand for itself.
      if (!text.includes("\ufffd")) {
        this.pos = end;
        return text;
      }
    }
    this.pos = begin;
    return super.string(true);
  }
}
