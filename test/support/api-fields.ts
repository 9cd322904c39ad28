/** The fields of the API's requests, as the proto has them. */
import { loadSync } from "@grpc/proto-loader";
import { join } from "node:path";

export interface ApiField {
  readonly name: string;
  readonly number: number;
  readonly isMany: boolean;
  /** As a descriptor has it: "TYPE_STRING". */
  readonly type: string;
  /** Of a message, and of a map's entries. */
  readonly fields?: readonly ApiField[];
  readonly isMap: boolean;
}

/** What of a descriptor is read here. */
interface Described {
  readonly name: string;
  readonly field: readonly {
    readonly number: number;
    readonly name: string;
    readonly label: string;
    readonly type: string;
    readonly typeName: string;
  }[];
  readonly nestedType: readonly Described[];
}

type Types = Readonly<Record<string, { readonly type?: Described }>>;

const PACKAGE = "executor.v1";

const types = loadSync("executor/v1/executor.proto", {
  includeDirs: [join(__dirname, "../../proto")],
}) as unknown as Types;

const service = types[`${PACKAGE}.ExecutorService`] as unknown as Readonly<
  Record<string, { readonly requestType: { readonly type: Described } }>
>;

const snake = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

function fieldsOf({ field, nestedType }: Described): ApiField[] {
  return field.map(({ number, name, label, type, typeName }) => {
    const entry = nestedType.find((one) => one.name === typeName);
    const message = entry ?? types[`${PACKAGE}.${typeName}`]?.type ?? types[typeName]?.type;
    return {
      name: snake(name),
      number,
      isMany: label === "LABEL_REPEATED",
      type,
      isMap: entry !== undefined,
      ...(type === "TYPE_MESSAGE" && message !== undefined && { fields: fieldsOf(message) }),
    };
  });
}

/** The fields of each method's request. */
export const REQUEST_FIELDS: ReadonlyMap<string, readonly ApiField[]> = new Map(
  Object.entries(service).map(([method, { requestType }]) => [method, fieldsOf(requestType.type)]),
);

/** A field, and those that it is in, from the outside. */
export type FieldPath = readonly [ApiField, ...ApiField[]];

/** Every field of a request, and of the messages in it, whatever is in it. */
export function pathsIn(fields: readonly ApiField[]): readonly FieldPath[] {
  return fields.flatMap((field): FieldPath[] => [
    [field],
    ...pathsIn(field.fields ?? []).map((path): FieldPath => [field, ...path]),
  ]);
}

/** As an error names it, of the first of what is repeated; a map's entries have no names. */
export function nameOf(path: FieldPath): string {
  const end = path.findIndex(({ isMap }) => isMap);
  const named = end === -1 ? path : path.slice(0, end + 1);
  return named
    .map(({ name, isMany }, at) => (isMany && at < named.length - 1 ? `${name}[0]` : name))
    .join(".");
}
