import { ListRequest } from "../gen/executor/v1/executor.js";
import { toMap, type MapFields } from "./map-fields.js";

/** What List is to find; what is left out has its default. */
export type ListFields = MapFields<ListRequest, "labels">;

/** The message that is sent. */
export function toListRequest({ labels, ...fields }: ListFields): ListRequest {
  return { ...ListRequest.fromPartial(fields), labels: toMap(labels) };
}
