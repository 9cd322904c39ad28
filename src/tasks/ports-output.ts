/** What the reading of tasks' output needs of the disk. */

export const OUTPUT_STREAMS = ["stdout", "stderr"] as const;

export type OutputStreamName = (typeof OUTPUT_STREAMS)[number];

/** A position in each stream, in bytes from the first that the task has written to it. */
export type StreamOffsets = Readonly<Record<OutputStreamName, number>>;

/** A task's two logs, open for reading: they grow at their ends, and lose their beginnings. */
export interface OutputFiles {
  /** Offset of the end of the file: of the next byte, unless there was no room for what came before it. */
  size(stream: OutputStreamName): number;
  /** Fills `bytes`, but at the end of the file; resolves with how many there are. What is lost is zeros, or is not there. */
  read(stream: OutputStreamName, offset: number, bytes: Buffer): Promise<number>;
  /**
   * Offsets of the first bytes that are kept. It is moved on before anything is lost: what was read before this was
   * called is, from there on, what the task has written.
   */
  kept(): StreamOffsets;
  /** Calls back when a log may have changed, where the host tells; the function that is answered ends that. */
  watch(changed: () => void): () => void;
  /** To be called when no read is under way. */
  close(): void;
}

export interface OutputStore {
  /** Rejects with Node's error: ENOENT where the logs are not there. */
  openOutput(uuid: string): Promise<OutputFiles>;
}
