/** Reads a document whose fields are checked one by one; what is wrong is named by its path, never by its content. */

export class FieldError extends Error {
  constructor(field: string, why: string) {
    super(`${field} ${why}`);
    this.name = "FieldError";
  }
}

const U64_MAX = 2n ** 64n - 1n;
const DECIMAL = /^(0|[1-9][0-9]{0,19})$/;

/** The fields of one object. Every method throws a FieldError where the field is missing, or is not what it has to be. */
export class Fields {
  private constructor(
    private readonly values: Readonly<Record<string, unknown>>,
    private readonly prefix: string,
  ) {}

  /** @param name what the object is called where it is none */
  static of(value: unknown, name: string, prefix = ""): Fields {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new FieldError(name, "is no object");
    }
    return new Fields(value as Readonly<Record<string, unknown>>, prefix);
  }

  text(name: string, pattern: RegExp): string {
    const value = this.get(name);
    if (typeof value !== "string") throw this.wrong(name, "is no string");
    if (!pattern.test(value)) throw this.wrong(name, "is malformed");
    return value;
  }

  oneOf<T extends string>(name: string, words: readonly T[]): T {
    const value = this.get(name);
    const word = words.find((known) => known === value);
    if (word === undefined) throw this.wrong(name, "is none of the known words");
    return word;
  }

  flag(name: string): boolean {
    const value = this.get(name);
    if (typeof value !== "boolean") throw this.wrong(name, "is no boolean");
    return value;
  }

  /** A whole number from `min` to `max`. */
  whole(name: string, min: number, max: number): number {
    const value = this.get(name);
    if (typeof value !== "number" || !Number.isInteger(value)) throw this.wrong(name, "is no whole number");
    if (value < min || value > max) throw this.wrong(name, "is out of its range");
    return value;
  }

  /** An unsigned number of 64 bits, which is kept as a string of decimal digits. */
  u64(name: string): bigint {
    const value = this.get(name);
    if (typeof value !== "string" || !DECIMAL.test(value)) {
      throw this.wrong(name, "is no decimal number in a string");
    }
    const number = BigInt(value);
    if (number > U64_MAX) throw this.wrong(name, "is out of its range");
    return number;
  }

  object(name: string): Fields {
    return Fields.of(this.get(name), this.prefix + name, `${this.prefix}${name}.`);
  }

  list<T>(name: string, read: (item: Fields) => T): readonly T[] {
    const value = this.get(name);
    if (!Array.isArray(value)) throw this.wrong(name, "is no list");
    return value.map((item: unknown, index) => {
      const path = `${this.prefix}${name}.${index}`;
      return read(Fields.of(item, path, `${path}.`));
    });
  }

  /** An object of texts by names that are not known beforehand. */
  texts(name: string, key: RegExp, value: RegExp): ReadonlyMap<string, string> {
    const fields = this.object(name);
    return new Map(
      Object.keys(fields.values).map((found) => {
        if (!key.test(found)) throw this.wrong(name, "has a malformed name");
        return [found, fields.text(found, value)];
      }),
    );
  }

  /** Null is undefined; a field that is not there is neither. */
  orNull<T>(name: string, read: (fields: Fields, name: string) => T): T | undefined {
    return this.get(name) === null ? undefined : read(this, name);
  }

  has(name: string): boolean {
    return Object.hasOwn(this.values, name);
  }

  wrong(name: string, why: string): FieldError {
    return new FieldError(this.prefix + name, why);
  }

  private get(name: string): unknown {
    if (!this.has(name)) throw this.wrong(name, "is missing");
    return this.values[name];
  }
}
