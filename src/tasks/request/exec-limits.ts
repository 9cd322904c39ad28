/** How much the kernel executes. Source: execve(2), "Limits on size of arguments and environment". */
import { HelperFault } from "../ports.js";

/** Most bytes of one argument with its terminating NUL: MAX_ARG_STRLEN, 32 pages. */
export const ARG_BYTES_MAX = 131_072;

/**
 * Most bytes of a command's arguments, with what each takes besides its own: a quarter of the usual limit of
 * the stack, 8 MiB. The environment has to fit there too, so that exec refuses what comes near it.
 */
export const ARGUMENTS_BYTES_MAX = 2 * 2 ** 20;

/** Most bytes of a command line: no shell could be given a longer one as its argument. */
export const COMMAND_LINE_BYTES_MAX = ARG_BYTES_MAX - 1;

/** What an argument takes besides its bytes: its NUL, and a pointer to it. */
export const ARG_OVERHEAD_BYTES = 9;

/**
 * As exec would answer, and before anything is made that large: a request of a few bytes for each word must
 * not become as much memory as it likes. No element of PATH has been tried.
 */
export function argumentsTooLong(): HelperFault {
  return new HelperFault({ step: "EXEC", errno: "E2BIG", index: -1 });
}
