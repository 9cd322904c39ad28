/** The floor: floor.c, given what the launcher would be given for a default Configure. */
import { Readable } from "node:stream";

import { writeFile } from "node:fs/promises";
import { join } from "node:path";

import { load } from "../src/config/load.js";
import { openCgroupRoot } from "../src/host/cgroup/root.js";
import { encodeCreate, HEADER_SIZE } from "../src/host/helper/protocol.js";
import { LinuxPaths } from "../src/host/host-paths.js";
import { HostUsers } from "../src/host/users.js";
import { toConfigureInput } from "../src/rpc/convert.js";
import { LOCAL_ADMIN } from "../src/tasks/access/identity";
import { Executor } from "../src/tasks/executor.js";
import type { SandboxSpec } from "../src/tasks/ports.js";
import { ConfigureRequest } from "../src/gen/executor/v1/executor.js";
import { freshTask } from "./cycle.js";
import { parseLatencies } from "./measure.js";
import { BENCH_DIST, COMMAND } from "./options.js";
import type { Resources } from "./resources.js";

export class Floor {
  private constructor(
    private readonly resources: Resources,
    private readonly create: string,
  ) {}

  /** Has the daemon's own parts make the message, up to where the launcher would get it. */
  static async prepare(resources: Resources): Promise<Floor> {
    const directory = await resources.directory();
    const asked = load(["--state-dir", directory], {});
    if (asked.kind !== "serve") throw new TypeError("no configuration");
    const { config } = asked;
    const root = await openCgroupRoot({ root: resources.cgroupName() });
    await resources.add(async () => {
      await root.sweep();
      await root.remove();
    });
    let captured: SandboxSpec | undefined;
    const executor = new Executor({
      ...config,
      users: new HostUsers({ initUid: config.initUid, only: undefined }),
      sandboxes: {
        create(spec) {
          captured = spec;
          return Promise.reject(new Error("captured"));
        },
        attach: () => Promise.resolve(undefined),
        killHolder: () => Promise.resolve(undefined),
        killStrays: () => Promise.resolve(),
        remove: () => Promise.resolve(),
        collect: () => Promise.reject(new Error("not called")),
      },
      paths: new LinuxPaths(directory, directory),
      cgroups: root.host,
      records: {
        directoryOf: () => directory,
        create: () => Promise.resolve(),
        write: () => Promise.resolve(),
        sync: () => undefined,
        readExit: () => Promise.resolve(undefined),
        watchExit: () => () => undefined,
        load: () => Promise.resolve({ records: [], newer: [], unreadable: [] }),
        flush: () => Promise.resolve(),
        remove: () => Promise.resolve(),
      },
      outputs: { openOutput: () => Promise.reject(new Error("there is no output")) },
      collected: {
        roomForCollected: () => Promise.reject(new Error("not called")),
        readCollected: () => Readable.from([]),
        removeCollected: () => Promise.resolve(),
      },
      bootId: "",
      log: { info: () => undefined, error: () => undefined },
      unenforced: [],
      retention: config,
    });
    const input = toConfigureInput(ConfigureRequest.fromPartial(freshTask()));
    await executor.configure(input, new AbortController().signal, LOCAL_ADMIN).catch((error: unknown) => {
      if (captured === undefined) throw error;
    });
    if (captured === undefined) throw new TypeError("Configure has made no sandbox");
    const message = encodeCreate(1n, captured, {
      ...config,
      allocRoot: directory,
      users: "host",
      cgroupPrefix: root.shownPrefix,
    });
    const file = join(directory, "create");
    await writeFile(file, message.subarray(HEADER_SIZE));
    return new Floor(resources, file);
  }

  /** Milliseconds of so many rounds. */
  async run(count: number): Promise<number[]> {
    const program = join(BENCH_DIST, "floor");
    return parseLatencies(await this.resources.outputOf(program, [this.create, String(count), COMMAND]));
  }
}
