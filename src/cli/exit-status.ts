import { describeEnd, type TaskEnd } from "../client/index.js";
import { OUR_FAILURE } from "./complaint.js";

/** As shells have it: the task's code, or 128 and the signal that it died of. */
export function exitStatus({ exitCode, signalNumber }: TaskEnd): number {
  if (exitCode !== undefined) return exitCode;
  return signalNumber === undefined ? OUR_FAILURE : 128 + signalNumber;
}

export const OUTPUT_TRUNCATED = "the end of its output may be missing";

/** What an exit status does not say of an end, for people; empty: it says all. */
export function endInWords(end: TaskEnd): string[] {
  const isPlain = end.reason === "EXITED" || end.reason === "SIGNALED";
  return [...(isPlain ? [] : [describeEnd(end)]), ...(end.outputTruncated ? [OUTPUT_TRUNCATED] : [])];
}
