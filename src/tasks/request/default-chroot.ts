/** A path of the host and where the task sees it. A source that is not there is skipped. */
export interface ChrootEntry {
  readonly source: string;
  readonly target: string;
}

/** What a task sees of the host unless the request says otherwise: programs, libraries and settings. */
export const DEFAULT_CHROOT: readonly ChrootEntry[] = Object.freeze(
  ["/bin", "/etc", "/lib", "/lib32", "/lib64", "/usr/bin", "/usr/lib"].map((path) =>
    Object.freeze({ source: path, target: path }),
  ),
);
