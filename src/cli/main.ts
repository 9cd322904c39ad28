/** `stockade`: what people type. */
import { complaint, failureStatus, OUR_FAILURE } from "./complaint.js";
import type { Verb } from "./context.js";
import { demo } from "./demo.js";
import { HelpWanted, parseFlags } from "./flags.js";
import { HOST_FLAGS, HOST_HELP, toHost } from "./host.js";
import { UsageError } from "./usage-error.js";
import { info } from "./verbs/info.js";
import { inspect } from "./verbs/inspect.js";
import { logs } from "./verbs/logs.js";
import { ps } from "./verbs/ps.js";
import { rm } from "./verbs/rm.js";
import { run } from "./verbs/run.js";
import { stop } from "./verbs/stop.js";
import { wait } from "./verbs/wait.js";

const VERBS: Readonly<Record<string, Verb>> = { run, ps, logs, wait, stop, inspect, rm, info };

const DEMO: Omit<Verb, "run"> = {
  synopsis: "demo",
  summary: "run a task with limits on a daemon of its own, and show each call",
  help: "",
};

/** As a shell has it of a program that died of SIGPIPE. */
const NOBODY_READS = 141;

const USAGE = `usage: stockade [flags] VERB …

verbs:
${Object.entries({ ...VERBS, demo: DEMO })
  .map(([name, { summary }]) => `  ${name.padEnd(9)}${summary}\n`)
  .join("")}
flags:
${HOST_HELP}
'stockade VERB --help' says more of each.
`;

/** What a verb takes for a task. */
const NAMES = `
TASK is an id, its last part as ps has it, or the first 8 characters of that or
more, where no other begins so; or a name, or ALLOC/NAME: of those of one name
the one that runs, or else the last.
`;

function usageOf({ synopsis, summary, help }: Omit<Verb, "run">): string {
  const names = synopsis.includes("TASK") ? NAMES : "";
  return `usage: stockade ${synopsis}\n\n${summary}\n${help === "" ? "" : `\n${help}`}${names}`;
}

function wantsHelp(argv: readonly string[]): boolean {
  const first = argv[0];
  return first === "--help" || first === "-h";
}

async function main(argv: readonly string[]): Promise<number> {
  const { flags, rest } = parseFlags(argv, HOST_FLAGS);
  const [name, ...args] = rest;
  if (name === undefined) {
    process.stderr.write(USAGE);
    return OUR_FAILURE;
  }
  if (name === "help") return say(args[0] === undefined ? USAGE : usageOf(verbOf(args[0])));
  const verb = verbOf(name);
  // Before anything is looked at that may not be as it should.
  if (wantsHelp(args)) return say(usageOf(verb));
  if (!("run" in verb)) {
    if (args.length > 0) throw new UsageError(`demo takes no arguments: '${args.join(" ")}'`);
    return demo();
  }
  return perform(name, verb, args, toHost(flags, process.env));
}

/** Throws a UsageError. */
function verbOf(name: string): Verb | typeof DEMO {
  if (name === "demo") return DEMO;
  const verb = Object.hasOwn(VERBS, name) ? VERBS[name] : undefined;
  if (verb === undefined) throw new UsageError(`there is no verb '${name}'`);
  return verb;
}

function say(text: string): number {
  process.stdout.write(text);
  return 0;
}

async function perform(
  name: string,
  verb: Verb,
  args: readonly string[],
  { client, address }: ReturnType<typeof toHost>,
): Promise<number> {
  const { stdout, stderr, env } = process;
  const colour = stdout.isTTY && (env["NO_COLOR"] ?? "") === "";
  try {
    return await verb.run(args, {
      client,
      host: address,
      env,
      stdin: () => process.stdin,
      stdout,
      stderr,
      colour,
    });
  } catch (error) {
    if (error instanceof HelpWanted) return say(usageOf(verb));
    stderr.write(`stockade: ${complaint(error, address, name)}\n`);
    return failureStatus(error);
  } finally {
    client.close();
  }
}

// What Node has to say of packages is for those who write programs.
process.noDeprecation = true;

// Whoever reads no more is no reason to say so.
let nobodyReads = false;
process.stdout.on("error", () => (nobodyReads = true));
process.stderr.on("error", () => undefined);

main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = nobodyReads ? NOBODY_READS : code;
  },
  (error: unknown) => {
    if (error instanceof HelpWanted) {
      process.exitCode = say(USAGE);
      return;
    }
    process.stderr.write(`stockade: ${complaint(error, "")}\n`);
    process.exitCode = OUR_FAILURE;
  },
);
