/** As google.protobuf.Duration, and Timestamp. */
interface Time {
  readonly seconds: bigint;
  readonly nanos: number;
}

export function ms(count: number): Time {
  return { seconds: BigInt(Math.floor(count / 1000)), nanos: Math.round(count % 1000) * 1_000_000 };
}

/** In milliseconds; 0: there is none. */
export function inMs(time: Time | undefined): number {
  return time === undefined ? 0 : Number(time.seconds) * 1000 + time.nanos / 1e6;
}
