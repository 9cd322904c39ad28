import { ConfigureRequest } from "../gen/executor/v1/executor.js";
import { toMap, type MapFields } from "./map-fields.js";

/** What Configure is asked for; what is left out has its default. */
export type ConfigureFields = MapFields<ConfigureRequest, "env" | "chroot" | "ports" | "meta" | "labels">;

/** The message that is sent. In it maps are Maps: an object cannot hold each key, `__proto__` for one. */
export function toConfigureRequest({
  env,
  chroot,
  ports,
  meta,
  labels,
  ...fields
}: ConfigureFields): ConfigureRequest {
  return {
    ...ConfigureRequest.fromPartial(fields),
    env: toMap(env),
    chroot: toMap(chroot),
    ports: toMap(ports),
    meta: toMap(meta),
    labels: toMap(labels),
  };
}
