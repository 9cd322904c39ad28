/** A daemon that serves TLS, somebody whom it is to serve, and somebody who means it harm, with a bare sink beside it. */
import { createHash } from "node:crypto";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { constants, setPriority } from "node:os";
import { join } from "node:path";

import type { OwnDaemon } from "../../src/cli/own-daemon.js";
import { connect, type StockadeClient } from "../../src/client/index.js";
import { Authority } from "../../test/support/certificates.js";
import { BENCH_DIST } from "../options.js";
import type { Resources } from "../resources.js";
import type { AttackName } from "./attacks.js";
import { SERVER_NAME, type Target } from "./target.js";

/** What the daemon and the sink show. */
export interface Certificate {
  readonly ca: string;
  readonly certFile: string;
  readonly keyFile: string;
}

export async function makeCertificate(resources: Resources): Promise<Certificate> {
  const authority = await Authority.make(join(await resources.directory(), "ca"));
  const { certFile, keyFile } = await authority.issue(SERVER_NAME, { san: `DNS:${SERVER_NAME}` });
  return { ca: authority.ca.toString(), certFile, keyFile };
}

export interface Scene {
  readonly daemon: OwnDaemon;
  readonly victim: StockadeClient;
  readonly target: Target;
  /** Where the daemon's turns are written to. */
  readonly turnsFile: string;
}

const WHO = ["victim", "hostile"] as const;

export async function prepareScene(
  certificate: Certificate,
  name: AttackName,
  resources: Resources,
): Promise<Scene> {
  const { ca, certFile, keyFile } = certificate;
  const turnsFile = join(await resources.directory(), "turns");
  let logged = "";
  const daemon = await resources.daemon({
    listen: ["127.0.0.1:0"],
    config: {
      tls: { cert_file: certFile, key_file: keyFile },
      access: WHO.map((name) => ({ name, role: "run", token_sha256: sha256(name) })),
    },
    env: {
      ...process.env,
      LD_PRELOAD: join(BENCH_DIST, "turns.so"),
      STOCKADE_BENCH_TURNS: turnsFile,
    },
    onLog: (text) => (logged += text),
  });
  const address = /"(127\.0\.0\.1:[0-9]+)"/.exec(logged)?.[1];
  if (address === undefined) throw new Error("the daemon does not say where it listens");
  const [victim, hostile] = WHO.map((token) =>
    connect({ address, token, tls: { ca, serverName: SERVER_NAME } }),
  );
  if (victim === undefined || hostile === undefined) throw new Error("there is nobody");
  await resources.add(() => victim.close());
  const target = {
    path: daemon.address.replace("unix:", ""),
    port: Number(address.split(":").at(-1)),
    ca,
    token: "hostile",
    running: await started(hostile, ["/bin/sleep", "1000"]),
    loud: name === "reader" ? await started(hostile, ["/usr/bin/nice", "-n", "19", "/usr/bin/yes"]) : "",
  };
  hostile.close();
  return { daemon, victim, target, turnsFile };
}

/** Resolves with where the sink is reached, in place of the daemon. */
export async function startSink(
  { certFile, keyFile }: Certificate,
  target: Target,
  resources: Resources,
): Promise<Target> {
  const path = join(await resources.directory(), "sock");
  const [sink, port] = await startScript("sink.js", [path, certFile, keyFile]);
  await resources.add(() => sink.kill());
  return { ...target, path, port: Number(port) };
}

/** Resolves when it has begun; to be killed. */
export async function startAttack(
  name: AttackName,
  target: Target,
  resources: Resources,
): Promise<ChildProcess> {
  const [attacker] = await startScript("attacker.js", [name, JSON.stringify(target)]);
  await resources.add(() => attacker.kill());
  return attacker;
}

/** Resolves when it has said its first line. It ends with its standard input: nobody is left to end it, then. */
async function startScript(script: string, args: readonly string[]): Promise<[ChildProcess, string]> {
  const child = spawn(process.execPath, [join(__dirname, script), ...args], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  return [child, line.toString().trim()];
}

/** A task whose init gets no more of the CPU than an attacker: it stands for one that has a machine for itself. */
async function started(client: StockadeClient, [command = "", ...args]: readonly string[]): Promise<string> {
  const { id } = await client.configure({ allocId: "hostile", taskName: `t${args.length}`, command, args });
  const { pid } = await client.start(id);
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  setPriority(Number(/^PPid:\s+(\d+)$/m.exec(status)?.[1]), constants.priority.PRIORITY_LOW);
  return id;
}

function sha256(token: string): string {
  return createHash("sha256").update(token).digest("hex");
}
