import { ConfigureRequest } from "../gen/executor/v1/executor.js";

type MapField = "env" | "chroot" | "ports" | "meta";

/** A map of the API, as a Map or as an object. */
type MapOf<Field extends MapField> =
  ConfigureRequest[Field] extends Map<string, infer Value>
    ? ReadonlyMap<string, Value> | Readonly<Record<string, Value>>
    : never;

/** What Configure is asked for; what is left out has its default. */
export type ConfigureFields = Partial<Omit<ConfigureRequest, MapField>> & {
  readonly [Field in MapField]?: MapOf<Field>;
};

/** The message that is sent. In it maps are Maps: an object cannot hold each key, `__proto__` for one. */
export function toConfigureRequest({
  env,
  chroot,
  ports,
  meta,
  ...fields
}: ConfigureFields): ConfigureRequest {
  return {
    ...ConfigureRequest.fromPartial(fields),
    env: toMap(env),
    chroot: toMap(chroot),
    ports: toMap(ports),
    meta: toMap(meta),
  };
}

function toMap<Value>(
  values: ReadonlyMap<string, Value> | Readonly<Record<string, Value>> = {},
): Map<string, Value> {
  return new Map(isMap(values) ? values : Object.entries(values));
}

function isMap<Value>(
  values: ReadonlyMap<string, Value> | Readonly<Record<string, Value>>,
): values is ReadonlyMap<string, Value> {
  return values instanceof Map;
}
