/** What is told of the daemon and its host. `src/host` finds it out. */
import type { Unenforced } from "./unenforced.js";

/** Found by trying, once, when the daemon starts. */
export interface HostCapabilities {
  readonly kernelRelease: string;
  readonly cgroupMode: "none" | "v1" | "hybrid" | "v2";
  /** Below the cgroup mount; undefined: there is none. */
  readonly cgroupRoot: string | undefined;
  /** Controllers and namespaces by the kernel's names, sorted. */
  readonly cgroupControllers: readonly string[];
  readonly namespaces: readonly string[];
  readonly idmappedMounts: boolean;
  /** Of a task's containment, and of limits. */
  readonly unenforced: readonly Unenforced[];
}

/** Of a file system. */
export interface DiskSpace {
  readonly totalBytes: bigint;
  /** To a user without privileges. */
  readonly availableBytes: bigint;
}

export interface MemorySpace {
  readonly totalBytes: bigint;
  readonly availableBytes: bigint;
  readonly swapTotalBytes: bigint;
  readonly swapFreeBytes: bigint;
}

/** How much there is, and how much is left. Undefined: it could not be found out. */
export interface HostResources {
  /** In nanoseconds since the epoch. */
  readonly measuredNs: bigint;
  readonly cpuCount: number;
  readonly cpuModel: string | undefined;
  readonly memory: MemorySpace | undefined;
  readonly stateDisk: DiskSpace | undefined;
  readonly allocDisk: DiskSpace | undefined;
  /** Over 1, 5 and 15 minutes. */
  readonly loadAverages: readonly [number, number, number];
}

export interface ServerInfo {
  readonly version: string;
  readonly capabilities: HostCapabilities;
  readonly resources: HostResources;
}

/** Answers without holding up anything that is done for a task. */
export interface ServerInfoSource {
  read(): Promise<ServerInfo>;
}
