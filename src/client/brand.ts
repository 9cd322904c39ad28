type ErrorClass = abstract new (...parts: never) => Error;

/**
 * Makes `instanceof` true for the same class of the package's other build: a program can have its ES modules and its
 * CommonJS modules at one time, each with classes of its own.
 */
export function brand(kind: ErrorClass, name: string): void {
  const mark = Symbol.for(`stockade/client/${name}`);
  Object.defineProperty(kind.prototype, mark, { value: true });
  Object.defineProperty(kind, Symbol.hasInstance, {
    value(this: unknown, value: unknown): boolean {
      if (this === kind) return typeof value === "object" && value !== null && mark in value;
      // A class that a program derives from it has instances of its own.
      return Function.prototype[Symbol.hasInstance].call(this, value);
    },
  });
}
