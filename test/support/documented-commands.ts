/** Commands that a document shows, each with its answer, to be run as they are. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { promisify } from "node:util";

import type { TestDaemon } from "./daemon";

const run = promisify(execFile);
const ROOT = resolve(__dirname, "../..");

/** The paths of the documents' daemon, which is started without flags. */
const SOCKET = "/run/stockade/stockaded.sock";
const ALLOC_DIR = "/var/lib/stockade/alloc";

/** One command, and what the comment beside or below it says of its answer. */
export interface Documented {
  readonly text: string;
  readonly shown: string;
}

/** The commands in all blocks of a document that call grpcurl by the document's own `call`. */
export function documentedCommands(path: string): Documented[] {
  const text = readFileSync(join(ROOT, path), "utf8");
  return [...text.matchAll(/^```sh\n(.*?)^```$/gms)]
    .flatMap(([, block = ""]) => [
      ...block.matchAll(/^((?:call|sudo cat|ID=)(?! *\().*?)(?:\s+# (.*)|\n# (.*))?$/gm),
    ])
    .map(([, command = "", beside, below]) => ({ text: command, shown: beside ?? below ?? "" }));
}

/** The document's definition of `call`, which may take several lines. */
function definitionOfCall(path: string): string {
  return /^call\(\) \{.*?; \}\n/ms.exec(readFileSync(join(ROOT, path), "utf8"))?.[0] ?? "";
}

/** A shell that has read a document, with the paths of a test's daemon for those of a host's. */
export class DocumentShell {
  private id = "";
  private readonly define: string;

  constructor(
    path: string,
    private readonly daemon: TestDaemon,
  ) {
    this.define = definitionOfCall(path);
  }

  /** Runs a command as it is; rejects with what it has said where it fails. `ID=` takes the id of the last answer that had one. */
  async run({ text }: Documented): Promise<string> {
    if (text.startsWith("ID=")) return "";
    const { address, directory } = this.daemon.daemon;
    const script = [this.define, `ID=${this.id}`, text]
      .join("\n")
      .replaceAll("sudo ", "")
      .replaceAll(SOCKET, address.replace(/^unix:/, ""))
      .replaceAll(ALLOC_DIR, join(directory, "alloc"));
    const { stdout } = await run("sh", ["-ec", script], { cwd: ROOT });
    this.id = /^\s*"id": "(.*)"/m.exec(stdout)?.[1] ?? this.id;
    return stdout;
  }
}

/**
 * Whether an answer, which may be several messages, is as shown: each "…" in that stands for anything, ids and pids
 * included.
 */
export function expectAnswer(answer: string, { text, shown }: Documented): void {
  if (!shown.startsWith("{")) throw new Error(`${text}: the document shows no answer`);
  const messages = answer.trim().split(/(?<=^\})\n/m);
  const expected = shown.split(/(?<=\}) (?=\{)/);
  expect(messages.map((message) => JSON.parse(message) as unknown)).toMatchObject(expected.map(pattern));
}

function pattern(shown: string): Record<string, unknown> {
  const json = shown.replaceAll(/, …(?=[}\]])/g, "").replaceAll(/: …/g, ': "…"');
  return JSON.parse(json, (_key, value: unknown) =>
    typeof value === "string" && value.includes("…") ? (expect.anything() as unknown) : value,
  ) as Record<string, unknown>;
}
