/** What a task used. Absent: this host cannot tell. Times in microseconds. */
export interface Usage {
  readonly cpuUserUs?: bigint;
  readonly cpuSystemUs?: bigint;
  readonly memoryPeakBytes?: bigint;
  readonly pidsPeak?: bigint;
  readonly ioReadBytes?: bigint;
  readonly ioWriteBytes?: bigint;
}
