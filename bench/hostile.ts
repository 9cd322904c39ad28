/**
 * What clients that mean harm do to another's calls, and to the daemon: each attack in turn with the same one on a bare
 * server, so that what its processes take of the host is there in both.
 */
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

import type { ChildProcess } from "node:child_process";

import type { StockadeClient } from "../src/client/index.js";
import { ATTACKS, type AttackName } from "./hostile/attacks.js";
import { FootprintWatch, type Footprint } from "./hostile/footprint.js";
import { pacedCalls } from "./hostile/paced-calls.js";
import { makeCertificate, prepareScene, startAttack, startSink, type Certificate } from "./hostile/scene.js";
import { isWithin, parseTurns, type Span } from "./loop-record.js";
import { percentile, repeat } from "./measure.js";
import { HOSTILE_MAX_TIMES, type BenchOptions } from "./options.js";
import type { Resources } from "./resources.js";
import type { Row } from "./rows.js";
import { withResources } from "./with-resources.js";

/** From one call of the victim's to the next, in milliseconds. */
const EVERY_MS = 5;

/** Calls of the victim's before anything is measured. */
const WARMUP = 200;

const MIB = 2 ** 20;

const ABOUT: Readonly<Record<AttackName, string>> = {
  reset_unix: "streams opened and reset, unix socket",
  reset_tls: "streams opened and reset, TLS",
  connect_unix: "new connections, unix socket",
  connect_tls: "new connections, TLS",
  half_open: "connections that say nothing",
  garbage: "garbage",
  streams: "thousands of Wait, cancelled",
  requests: "the most expensive requests",
  metadata: "huge metadata",
  reader: "readers of Logs that have stopped",
};

export async function measureHostile(options: BenchOptions, resources: Resources): Promise<Row[]> {
  const certificate = await makeCertificate(resources);
  const rows: Row[] = [];
  for (const name of Object.keys(ATTACKS) as AttackName[]) {
    // Each on a daemon of its own: what one has left is not to count as another's.
    rows.push(...(await withResources((own) => measureAttack(name, certificate, options, own))));
  }
  return rows;
}

async function measureAttack(
  name: AttackName,
  certificate: Certificate,
  { hostileRounds, hostileCalls, hostileLeadMs }: BenchOptions,
  resources: Resources,
): Promise<Row[]> {
  const { daemon, victim, target, turnsFile } = await prepareScene(certificate, name, resources);
  const sink = await startSink(certificate, target, resources);
  const call = await endedCall(victim);
  await pacedCalls(call, WARMUP, 1);
  const idle: number[] = [];
  const attacked: number[] = [];
  const prints: Footprint[] = [];
  const spans: Span[] = [];
  await repeat(hostileRounds, async () => {
    await during(await startAttack(name, sink, resources), hostileLeadMs, async () => {
      idle.push(...(await pacedCalls(call, hostileCalls, EVERY_MS)));
    });
    const watch = await FootprintWatch.begin(daemon.pid ?? 0);
    const beginNs = nowNs();
    await during(await startAttack(name, target, resources), hostileLeadMs, async () => {
      attacked.push(...(await pacedCalls(call, hostileCalls, EVERY_MS)));
    });
    spans.push({ beginNs, endNs: nowNs() });
    prints.push(await watch.end());
  });
  const turns = parseTurns(await readFile(turnsFile, "utf8")).filter((turn) =>
    spans.some((span) => isWithin(turn, span)),
  );
  return rowsOf(name, { idle, attacked, prints, longestNs: Math.max(0, ...turns.map(({ cpuNs }) => cpuNs)) });
}

/** Ends the attack after the work, and lets what it has left behind go. */
async function during(attack: ChildProcess, leadMs: number, work: () => Promise<void>): Promise<void> {
  await sleep(leadMs);
  await work();
  const ended = once(attack, "exit");
  attack.kill("SIGKILL");
  await ended;
  await sleep(leadMs);
}

/** Wait of a task that has ended: a call that nothing is done for. */
async function endedCall(client: StockadeClient): Promise<() => Promise<unknown>> {
  const { id } = await client.configure({ allocId: "victim", taskName: "t", command: "/bin/true" });
  await client.start(id);
  await client.wait(id);
  return () => client.wait(id);
}

interface Measured {
  /** In milliseconds. */
  readonly idle: readonly number[];
  readonly attacked: readonly number[];
  readonly prints: readonly Footprint[];
  readonly longestNs: number;
}

function rowsOf(name: AttackName, { idle, attacked, prints, longestNs }: Measured): Row[] {
  const row = (key: string, what: string, value: number, unit: string): Row => ({
    key: `hostile_${name}_${key}`,
    what,
    value,
    unit,
  });
  const most = (of: (print: Footprint) => number): number => Math.max(...prints.map(of));
  const [idleP99, attackedP99] = [percentile(idle, 99), percentile(attacked, 99)];
  return [
    row(
      "idle_p50",
      `${ABOUT[name]}: another's call meanwhile, p50, on a bare server`,
      percentile(idle, 50),
      "ms",
    ),
    row("p50", "  on the daemon", percentile(attacked, 50), "ms"),
    row("idle_p99", "  p99, on a bare server", idleP99, "ms"),
    row("p99", "  on the daemon", attackedP99, "ms"),
    {
      key: `hostile_${name}_times`,
      what: "  p99 is longer by",
      value: attackedP99 / idleP99,
      unit: "times",
      target: HOSTILE_MAX_TIMES,
    },
    row("turn", "  longest turn of the event loop, CPU time", longestNs / 1e6, "ms"),
    row("memory", "  growth of memory", most(({ grownBytes }) => grownBytes) / MIB, "MiB"),
    row(
      "descriptors",
      "  descriptors",
      most(({ descriptors }) => descriptors),
      "",
    ),
  ];
}

function nowNs(): number {
  return Number(process.hrtime.bigint());
}
