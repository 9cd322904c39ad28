/** `stockade`: what people type. */
import { demo } from "./demo.js";

const USAGE = `usage: stockade <verb>

verbs:
  demo     run a task with limits on a daemon of its own, and show each call
`;

async function main(argv: readonly string[]): Promise<number> {
  const [verb, ...rest] = argv;
  if (verb === "demo" && rest.length === 0) return demo();
  const asked = verb === "--help" || verb === "help";
  (asked ? process.stdout : process.stderr).write(USAGE);
  return asked ? 0 : 125;
}

main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    process.stderr.write(`stockade: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 125;
  },
);
