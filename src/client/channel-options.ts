import type { ChannelOptions } from "@grpc/grpc-js";

/** How a connection is kept, and made again. */
export const CHANNEL_OPTIONS: ChannelOptions = {
  // A connection whose other end has gone without a word is found out while a call is open.
  "grpc.keepalive_time_ms": 30_000,
  "grpc.keepalive_timeout_ms": 20_000,
  // A daemon that is restarted is back within a second; grpc-js's own pauses grow to two minutes.
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 2_000,
};
