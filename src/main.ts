/**
 * The daemon: reads its configuration, serves, and stops when it is told to or has a defect.
 * Only here: argv, process.env and signals.
 */
import type { Config } from "./config/config.js";
import { ConfigError } from "./config/config-error.js";
import { load, usage, VERSION } from "./config/load.js";
import { StderrLog } from "./host/log.js";
import { Undo } from "./tasks/concurrency/undo.js";

/** Writes to cgroup files can block while the kernel reclaims: one must not hold up the others. */
const IO_THREADS = "16";

/** How long a daemon may take to stop after a defect, which may be what keeps it from stopping, in milliseconds. */
const DEFECT_STOP_MS = 30_000;

/** Exit status of a daemon whose configuration cannot be. */
const EXIT_USAGE = 2;

async function main(log: StderrLog): Promise<void> {
  process.env["UV_THREADPOOL_SIZE"] ??= IO_THREADS;
  // Nothing that the daemon makes is for others, not even for a moment.
  process.umask(0o077);
  const asked = load(process.argv.slice(2), process.env);
  switch (asked.kind) {
    case "help":
      process.stdout.write(usage());
      return;
    case "version":
      process.stdout.write(`stockaded ${VERSION}\n`);
      return;
    case "serve":
      return run(asked.config, () => configured(process.argv.slice(2)), log);
  }
}

/** The configuration of a daemon that serves already. */
function configured(argv: readonly string[]): Config {
  const asked = load(argv, process.env);
  if (asked.kind !== "serve") throw new ConfigError("the flags have changed");
  return asked.config;
}

async function run(config: Config, configure: () => Config, log: StderrLog): Promise<void> {
  const stopAsked = new Promise<string>((stop) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, stop);
  });
  const defect = defectOf(log);
  const undo = new Undo();
  // Until it serves, what it is asked to read again it has just read.
  let reload = (): Promise<void> => Promise.resolve();
  process.on("SIGHUP", () => void reload());
  try {
    const { serve } = await import("./serve.js");
    const notifySocket = process.env["NOTIFY_SOCKET"];
    const served = await serve({ config, configure, log, undo, notifySocket });
    reload = served.reload;
    const why = await Promise.race([stopAsked, served.launcherGone, defect]);
    if (why instanceof Error) throw why;
    log.info("stopping", { signal: why });
  } finally {
    await undo.run((error) => log.error("cannot stop a part of the daemon", { error }));
  }
}

/**
 * Resolves with the first error that nobody has caught. What it has left half done cannot be known, so the daemon
 * stops as it does when asked to, and its tasks run on: the next daemon finds them.
 */
function defectOf(log: StderrLog): Promise<Error> {
  return new Promise((resolve) => {
    const stop = (error: unknown): void => {
      log.error("an error that nobody has caught", { error });
      setTimeout(() => process.exit(1), DEFECT_STOP_MS).unref();
      resolve(new Error("stopped after an error that nobody has caught", { cause: error }));
    };
    process.on("uncaughtException", stop);
    process.on("unhandledRejection", stop);
  });
}

const daemonLog = new StderrLog();
main(daemonLog).then(
  // Streams of clients that are slow to go must not keep a daemon that has stopped.
  () => process.exit(0),
  (error: unknown) => {
    if (error instanceof ConfigError) process.stderr.write(`stockaded: ${error.message}\n`);
    else daemonLog.error(error instanceof Error ? error.message : String(error), { error });
    process.exit(error instanceof ConfigError ? EXIT_USAGE : 1);
  },
);
