import {
  CgroupMode,
  type Disk,
  type GetServerInfoResponse,
  type HostCapabilities as ProtoCapabilities,
  type HostResources as ProtoResources,
} from "../gen/executor/v1/executor.js";
import type { DiskSpace, HostCapabilities, HostResources, ServerInfo } from "../tasks/server-info.js";
import { timestamp } from "./convert.js";

const MODES = {
  none: CgroupMode.CGROUP_MODE_NONE,
  v1: CgroupMode.CGROUP_MODE_V1,
  hybrid: CgroupMode.CGROUP_MODE_HYBRID,
  v2: CgroupMode.CGROUP_MODE_V2,
} as const satisfies Record<HostCapabilities["cgroupMode"], CgroupMode>;

export function fromServerInfo({ version, capabilities, resources }: ServerInfo): GetServerInfoResponse {
  return { version, capabilities: fromCapabilities(capabilities), resources: fromResources(resources) };
}

function fromCapabilities(capabilities: HostCapabilities): ProtoCapabilities {
  return {
    kernelRelease: capabilities.kernelRelease,
    cgroupMode: MODES[capabilities.cgroupMode],
    cgroupRoot: capabilities.cgroupRoot ?? "",
    cgroupControllers: [...capabilities.cgroupControllers],
    namespaces: [...capabilities.namespaces],
    idmappedMounts: capabilities.idmappedMounts,
    unenforced: [...capabilities.unenforced],
  };
}

function fromResources(resources: HostResources): ProtoResources {
  const { memory, stateDisk, allocDisk, loadAverages } = resources;
  const [loadAverage1m, loadAverage5m, loadAverage15m] = loadAverages;
  return {
    measuredAt: timestamp(resources.measuredNs),
    cpuCount: resources.cpuCount,
    cpuModel: resources.cpuModel ?? "",
    memoryTotalBytes: memory?.totalBytes,
    memoryAvailableBytes: memory?.availableBytes,
    swapTotalBytes: memory?.swapTotalBytes,
    swapFreeBytes: memory?.swapFreeBytes,
    stateDisk: fromDisk(stateDisk),
    allocDisk: fromDisk(allocDisk),
    loadAverage1m,
    loadAverage5m,
    loadAverage15m,
  };
}

function fromDisk(disk: DiskSpace | undefined): Disk | undefined {
  return disk === undefined ? undefined : { ...disk };
}
