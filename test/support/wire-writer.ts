/** Messages byte by byte, as no client library would make them. */
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";

/** @param task the id of a task, where it takes one that is there */
export type Write = (writer: BinaryWriter, task: string) => unknown;

export function bytesOf(writes: readonly Write[], task = ""): Uint8Array {
  const writer = new BinaryWriter();
  for (const write of writes) write(writer, task);
  return writer.finish();
}

export const text =
  (field: number, value: string): Write =>
  (writer) =>
    writer.tag(field, WireType.LengthDelimited).string(value);
export const bytes =
  (field: number, value: Uint8Array): Write =>
  (writer) =>
    writer.tag(field, WireType.LengthDelimited).bytes(value);
export const varint =
  (field: number, value: bigint): Write =>
  (writer) =>
    writer.tag(field, WireType.Varint).int64(value);
/** Of a type that no field of this API has. */
export const fixed =
  (field: number): Write =>
  (writer) =>
    writer.tag(field, WireType.Bit32).fixed32(1);
export const message =
  (field: number, ...writes: readonly Write[]): Write =>
  (writer, task) =>
    writer.tag(field, WireType.LengthDelimited).bytes(bytesOf(writes, task));
export const plain =
  (...values: readonly number[]): Write =>
  (writer) =>
    writer.raw(Uint8Array.from(values));
