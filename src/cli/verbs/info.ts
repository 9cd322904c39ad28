/** `stockade info`: what a daemon is, and what its host can do. */
import { CgroupMode, GetServerInfoResponse, type Disk } from "../../client/index.js";
import type { Verb } from "../context.js";
import { parseMixed } from "../flags.js";
import { OUTPUT_FLAG, toOutputForm } from "../output-form.js";
import { printableJson } from "../printable.js";
import { table } from "../table.js";
import { UsageError } from "../usage-error.js";
import { write } from "../write.js";

export const info: Verb = {
  synopsis: "info [flags]",
  summary: "print what the daemon is, and what its host can do",
  help: `  -o, --output json|table  (default: table)
`,
  async run(argv, { client, host, stdout, colour }) {
    const { flags, rest } = parseMixed(argv, OUTPUT_FLAG);
    if (rest.length > 0) throw new UsageError(`info takes no arguments: '${rest.join(" ")}'`);
    const form = toOutputForm(flags);
    const answer = await client.serverInfo();
    if (form === "json") await write(stdout, `${printableJson(GetServerInfoResponse.toJSON(answer))}\n`);
    else await write(stdout, table(["WHAT", "IS"], [["address", host], ...rows(answer)], colour));
    return 0;
  },
};

function rows({ version, capabilities, resources }: GetServerInfoResponse): string[][] {
  const mode = CgroupMode[capabilities?.cgroupMode ?? 0] ?? "?";
  const loads = [resources?.loadAverage1m, resources?.loadAverage5m, resources?.loadAverage15m];
  return [
    ["version", version],
    ["kernel", capabilities?.kernelRelease ?? ""],
    ["cgroups", mode.replace(/^CGROUP_MODE_/, "").toLowerCase()],
    ["cgroup root", capabilities?.cgroupRoot ?? ""],
    ["controllers", capabilities?.cgroupControllers.join(" ") ?? ""],
    ["namespaces", capabilities?.namespaces.join(" ") ?? ""],
    ["cpus", `${resources?.cpuCount ?? "?"} ${resources?.cpuModel ?? ""}`],
    ["memory", available(resources?.memoryAvailableBytes, resources?.memoryTotalBytes)],
    ["state disk", ofDisk(resources?.stateDisk)],
    ["alloc disk", ofDisk(resources?.allocDisk)],
    ["load", loads.map((load) => load?.toFixed(2) ?? "?").join(" ")],
    ...(capabilities?.unenforced ?? []).map(({ name, reason }) => ["not enforced", `${name}: ${reason}`]),
  ];
}

function ofDisk(disk: Disk | undefined): string {
  return available(disk?.availableBytes, disk?.totalBytes);
}

const GIB = 1024 ** 3;

function available(part: bigint | undefined, all: bigint | undefined): string {
  const inGib = (bytes: bigint | undefined): string =>
    bytes === undefined ? "?" : `${(Number(bytes) / GIB).toFixed(1)} GiB`;
  return `${inGib(part)} available of ${inGib(all)}`;
}
