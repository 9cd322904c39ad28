import type { ChannelOptions } from "@grpc/grpc-js";

/** How a connection is kept, and made again. */
export const CHANNEL_OPTIONS: ChannelOptions = {
  // A connection whose other end has gone without a word is found out while a call is open.
  "grpc.keepalive_time_ms": 30_000,
  "grpc.keepalive_timeout_ms": 20_000,
  // In bytes. With HTTP/2's own 64 KiB a stream of logs waits for its reader after each message.
  "grpc-node.flow_control_window": 1_048_576,
  // A daemon that is restarted is back within a second; grpc-js's own pauses grow to two minutes.
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 2_000,
};
