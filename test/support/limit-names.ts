/** The limits of Resources, by the names that `unenforced` has for them. */
export const LIMIT_NAMES: readonly string[] = [
  "memory_bytes",
  "memory_reservation_bytes",
  "cpu_shares",
  "cpu_millis",
  "cpuset_cpus",
  "io_weight",
  "pids_max",
];
