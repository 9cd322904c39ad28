/** A map of the API, as a Map or as an object. */
export type MapOf<Value> =
  Value extends Map<string, infer Item> ? ReadonlyMap<string, Item> | Readonly<Record<string, Item>> : never;

/** What of a message may be left out, with its maps as what is at hand. */
export type MapFields<Message, Name extends keyof Message> = Partial<Omit<Message, Name>> & {
  readonly [Field in Name]?: MapOf<Message[Field]>;
};

/** As the messages have them: an object cannot hold each key, `__proto__` for one. */
export function toMap<Value>(
  values: ReadonlyMap<string, Value> | Readonly<Record<string, Value>> = {},
): Map<string, Value> {
  return new Map(isMap(values) ? values : Object.entries(values));
}

function isMap<Value>(
  values: ReadonlyMap<string, Value> | Readonly<Record<string, Value>>,
): values is ReadonlyMap<string, Value> {
  return values instanceof Map;
}
