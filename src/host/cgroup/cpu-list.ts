/** The kernel's list format of CPUs ("0-2,4"). Source: admin-guide/cgroup-v1/cpusets.rst, "List format". */

/** Beyond the largest NR_CPUS of any architecture: a bound for what is expanded here. */
const CPU_LIMIT = 8192;

/** The CPUs of a list; undefined: malformed. The empty list is an empty set. */
export function parseCpuList(text: string): ReadonlySet<number> | undefined {
  const cpus = new Set<number>();
  const trimmed = text.trim();
  if (trimmed === "") return cpus;
  for (const part of trimmed.split(",")) {
    const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part);
    if (match?.[1] === undefined) return undefined;
    const first = Number(match[1]);
    const last = match[2] === undefined ? first : Number(match[2]);
    if (first > last || last >= CPU_LIMIT) return undefined;
    for (let cpu = first; cpu <= last; cpu++) cpus.add(cpu);
  }
  return cpus;
}

/** True: each CPU of `list` is in `available`, and there is at least one. Both in list format. */
export function isWithin(list: string, available: string): boolean {
  const wanted = parseCpuList(list);
  const there = parseCpuList(available);
  if (wanted === undefined || there === undefined || wanted.size === 0) return false;
  return [...wanted].every((cpu) => there.has(cpu));
}
