/** What the server tells of its own API, by grpc.reflection.v1 and v1alpha: grpcurl and its like need no files then. */
import { BinaryReader } from "@bufbuild/protobuf/wire";
import type { PackageDefinition } from "@grpc/proto-loader";
import { ReflectionService } from "@grpc/reflection";

import { DESCRIPTORS } from "../gen/descriptors.js";

/** Of the types of errors' details, too: a client that decodes them asks for those. */
export function reflectionService(): ReflectionService {
  return new ReflectionService(definitionOf(filesOf(Buffer.from(DESCRIPTORS, "base64"))));
}

/**
 * The descriptors that proto-loader itself makes, of what it has parsed, name no imports: no client that links them, as
 * grpcurl does, can use them.
 */
function definitionOf(fileDescriptorProtos: Buffer[]): PackageDefinition {
  // The reflection service reads nothing else of a definition; that of an enum has little else.
  return { proto: { format: "Protocol Buffer 3 EnumDescriptorProto", type: {}, fileDescriptorProtos } };
}

/** The encoded `repeated FileDescriptorProto file = 1` of a set. */
function filesOf(descriptorSet: Uint8Array): Buffer[] {
  const reader = new BinaryReader(descriptorSet);
  const files: Buffer[] = [];
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === 1) files.push(Buffer.from(reader.bytes()));
    else reader.skip(wireType, field);
  }
  return files;
}
