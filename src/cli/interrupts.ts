/** Ctrl-C, and SIGTERM, of a program that has a task in the foreground. */
import { constants } from "node:os";

export type Interrupt = "SIGINT" | "SIGTERM";

export interface Handlers {
  /** The first one: the task is asked to end, as if it had the terminal. */
  readonly first: (signal: Interrupt) => void;
  /** The second: it is killed. */
  readonly second: () => void;
}

/** With the third the program ends, whatever has become of the task. To dispose of it is to listen no more. */
export function onInterrupts({ first, second }: Handlers): Disposable {
  let count = 0;
  const hear = (signal: Interrupt) => (): void => {
    count++;
    if (count === 1) first(signal);
    else if (count === 2) second();
    // Nothing is left to wait for.
    else process.exit(128 + constants.signals[signal]);
  };
  const listeners = (["SIGINT", "SIGTERM"] as const).map((signal) => ({ signal, listener: hear(signal) }));
  for (const { signal, listener } of listeners) process.on(signal, listener);
  return {
    [Symbol.dispose]: () => {
      for (const { signal, listener } of listeners) process.off(signal, listener);
    },
  };
}
