/** Signals and grace periods as requests give them. */
import { constants } from "node:os";

import { invalidField } from "../errors.js";
import { durationNs, wholeMs, type DurationInput } from "./duration.js";

export const SIGTERM = constants.signals.SIGTERM;

/** The first and last real-time signal that programs see. Source: signal(7), glibc keeps 32 and 33 for itself. */
const SIGRTMIN = 34;
const SIGRTMAX = 64;

const NUMBERS: ReadonlyMap<string, number> = new Map(Object.entries(constants.signals));

/**
 * The number, 1 to 64, of a signal: "SIGINT", "INT", "int" or "2"; "RTMIN+1", "SIGRTMAX-2".
 * Empty: SIGTERM. Throws INVALID_ARGUMENT (signal).
 */
export function parseSignal(text: string): number {
  if (text === "") return SIGTERM;
  const number = /^[1-9][0-9]?$/.test(text) ? Number(text) : byName(text.toUpperCase());
  if (number === undefined || number > SIGRTMAX) {
    throw invalidField("signal", "signal is neither a signal's name nor a number from 1 to 64");
  }
  return number;
}

function byName(name: string): number | undefined {
  const short = name.startsWith("SIG") ? name.slice("SIG".length) : name;
  return NUMBERS.get(`SIG${short}`) ?? realTime(short);
}

function realTime(name: string): number | undefined {
  const match = /^RT(MIN|MAX)(?:([+-])([0-9]{1,2}))?$/.exec(name);
  if (match === null) return undefined;
  const base = match[1] === "MIN" ? SIGRTMIN : SIGRTMAX;
  const offset = Number(match[3] ?? 0) * (match[2] === "-" ? -1 : 1);
  const number = base + offset;
  return number >= SIGRTMIN && number <= SIGRTMAX ? number : undefined;
}

const DEFAULT_GRACE_MS = 10_000;
const MAX_GRACE_MS = 24 * 60 * 60 * 1000;

/**
 * A grace period in whole milliseconds, rounded up: only zero is "at once". Absent: 10 s.
 * Throws INVALID_ARGUMENT (grace_period) outside 0 to 24 h.
 */
export function parseGracePeriod(duration: DurationInput | undefined): number {
  if (duration === undefined) return DEFAULT_GRACE_MS;
  const ns = durationNs(duration);
  const ms = ns === undefined ? undefined : wholeMs(ns);
  if (ms === undefined || ms > MAX_GRACE_MS) {
    throw invalidField("grace_period", "grace_period must be 0 s to 24 h");
  }
  return ms;
}
