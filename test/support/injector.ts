/** Makes single system calls of a daemon's helper fail, or its launcher die at one; test/fixtures/inject.c has the protocol. */
import { execFileSync, spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { constants } from "node:os";
import { createInterface, type Interface } from "node:readline";
import { resolve } from "node:path";

export type Role = "launcher" | "init" | "command" | "guard" | "worker";

/** One system call that a process of the helper has made. */
export interface Call {
  readonly role: Role;
  /** Which of its role's calls it is, from 1; 0 of brk, which is made when the heap's end happens to be reached. */
  readonly n: number;
  readonly name: string;
  /** What the process was answered; undefined: it did not live to see it. */
  readonly result: number | undefined;
}

export type Errno = keyof typeof constants.errno;

export interface Injection {
  readonly role: Role;
  readonly n: number;
  /** Whether the call is left out, or made and its answer replaced. */
  readonly when: "before" | "after";
  /** A number is what a call that succeeds answers. */
  readonly answer: Errno | number;
}

const SOURCE = resolve(__dirname, "../fixtures/inject.c");

/** Compiles the injector into a directory; answers its path. */
export function compileInjector(directory: string): string {
  const path = resolve(directory, "inject");
  execFileSync("gcc", ["-static", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-o", path, SOURCE]);
  return path;
}

export class Injector implements AsyncDisposable {
  private readonly lines: AsyncIterator<string>;

  private constructor(
    private readonly process: ChildProcessWithoutNullStreams,
    private readonly reader: Interface,
  ) {
    this.lines = reader[Symbol.asyncIterator]();
  }

  /** Attaches to the launcher of a daemon. */
  static attach(program: string, daemonPid: number): Promise<Injector> {
    const children = readFileSync(`/proc/${daemonPid}/task/${daemonPid}/children`, "utf8");
    return Injector.attachTo(program, Number(children));
  }

  static async attachTo(program: string, launcherPid: number): Promise<Injector> {
    const child = spawn(program, [String(launcherPid)]);
    child.stderr.pipe(process.stderr);
    const injector = new Injector(child, createInterface({ input: child.stdout }));
    await injector.expect("ready");
    return injector;
  }

  /** Counts the system calls of the next task. */
  async trace(): Promise<void> {
    this.process.stdin.write("trace\n");
    await this.expect("armed");
  }

  /** Has one of the next task's system calls fail. */
  async arm({ role, n, when, answer }: Injection): Promise<void> {
    const number = typeof answer === "number" ? answer : -constants.errno[answer];
    this.process.stdin.write(`fail ${role} ${n} ${when} ${number}\n`);
    await this.expect("armed");
  }

  /** Has the launcher killed before the nth call of its name, from 1, in the next task. Nothing can be armed after that. */
  async killLauncherAt({ role, name }: Call, nth: number): Promise<void> {
    this.process.stdin.write(`kill ${role} ${name} ${nth}\n`);
    await this.expect("armed");
  }

  /** What has been counted since, in the order in which the calls were begun. Ends the counting. */
  async report(): Promise<Call[]> {
    const calls: Call[] = [];
    this.process.stdin.write("report\n");
    for (let line = await this.line(); line !== "end"; line = await this.line()) {
      const [role = "", n = "", name = "", result = ""] = line.split(" ");
      calls.push({
        role: role as Role,
        n: Number(n),
        name,
        result: result === "none" ? undefined : Number(result),
      });
    }
    return calls;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = this.process.exitCode === null ? once(this.process, "exit") : undefined;
    this.process.stdin.end();
    await ended;
    this.reader.close();
  }

  private async expect(wanted: string): Promise<void> {
    const line = await this.line();
    if (line !== wanted) throw new Error(`the injector said "${line}", not "${wanted}"`);
  }

  private async line(): Promise<string> {
    const { done, value } = await this.lines.next();
    if (done === true) throw new Error("the injector has ended");
    return value;
  }
}
