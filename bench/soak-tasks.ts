/** Short tasks of each way to end, whose exits are known beforehand. */
import {
  ChrootMethod,
  ExitReason,
  type ConfigureFields,
  type Exit,
  type StockadeClient,
} from "../src/client/index.js";

let names = 0;

/** How a task is run to its end, and how it must end. */
interface Kind {
  readonly run: (client: StockadeClient, number: number) => Promise<Exit | undefined>;
  readonly isRight: (exit: Exit, number: number) => boolean;
}

const hasExited = (exit: Exit, code: number): boolean =>
  exit.reason === ExitReason.EXIT_REASON_EXITED &&
  exit.status?.$case === "exitCode" &&
  exit.status.value === code;

const KINDS: readonly Kind[] = [
  // Most tasks are of that kind.
  ...Array.from({ length: 4 }, () => ({
    run: (client: StockadeClient, number: number) =>
      runScript(client, `echo ${number}; exit ${number % 256}`),
    isRight: (exit: Exit, number: number) => hasExited(exit, number % 256),
  })),
  {
    run: (client) => runScript(client, "kill -15 $$"),
    isRight: ({ reason, status }) =>
      reason === ExitReason.EXIT_REASON_SIGNALED && status?.$case === "signal" && status.value === 15,
  },
  {
    run: async (client) => {
      const id = await configure(client, "sleep 1000");
      await client.start(id);
      return (await client.forceStop(id)).exit;
    },
    isRight: ({ reason }) => reason === ExitReason.EXIT_REASON_FORCE_STOPPED,
  },
  {
    run: async (client) => (await client.forceStop(await configure(client, "true"))).exit,
    isRight: ({ reason }) => reason === ExitReason.EXIT_REASON_NEVER_STARTED,
  },
  {
    // Its trees are removed by a process of their own.
    run: async (client) => (await client.forceStop(await configure(client, "true", EMBEDDED))).exit,
    isRight: ({ reason }) => reason === ExitReason.EXIT_REASON_NEVER_STARTED,
  },
];

/** Runs one; what is wrong with its exit, if anything is. */
export async function runOne(client: StockadeClient): Promise<string | undefined> {
  const number = names;
  const kind = KINDS[number % KINDS.length];
  const exit = await kind?.run(client, number);
  if (exit !== undefined && kind?.isRight(exit, number) === true) return undefined;
  return `task ${number}: ${exit === undefined ? "no exit" : `${exit.reason} ${JSON.stringify(exit.status)}`}`;
}

async function runScript(client: StockadeClient, script: string): Promise<Exit | undefined> {
  const id = await configure(client, script);
  await client.start(id);
  return (await client.wait(id)).exit;
}

const EMBEDDED: ConfigureFields = {
  chroot: { "/etc/hostname": "/etc/hostname" },
  chrootMethod: ChrootMethod.CHROOT_METHOD_LINK,
};

/** In an alloc of its own. */
async function configure(
  client: StockadeClient,
  script: string,
  more: ConfigureFields = {},
): Promise<string> {
  const { id } = await client.configure({
    allocId: `soak${names++}`,
    taskName: "task",
    command: "/bin/sh",
    args: ["-c", script],
    ...more,
  });
  return id;
}
