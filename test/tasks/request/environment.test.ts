import { taskEnvironment, type EnvironmentInput } from "../../../src/tasks/request/environment.js";

function environment(input: Partial<EnvironmentInput> = {}): Record<string, string> {
  return Object.fromEntries(
    taskEnvironment({
      env: new Map(),
      ip: undefined,
      ports: new Map(),
      meta: new Map(),
      user: "nobody",
      limits: {},
      ...input,
    }),
  );
}

describe("a task's environment", () => {
  it("is this and nothing of the daemon's own where nothing is asked for", () => {
    expect(environment()).toEqual({
      HOME: "/local",
      LOGNAME: "nobody",
      USER: "nobody",
      PATH: "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin",
      NOMAD_ALLOC_DIR: "/alloc",
      NOMAD_TASK_DIR: "/local",
    });
  });

  it("has limits, address, ports and meta where known", () => {
    expect(
      environment({
        limits: { memoryBytes: 64n * 1024n * 1024n, cpuShares: 500n },
        ip: "10.0.0.1",
        ports: new Map([["my-db.main", 5432]]),
        meta: new Map([["owner_name", "x y"]]),
      }),
    ).toMatchObject({
      NOMAD_MEMORY_LIMIT: "64",
      NOMAD_CPU_LIMIT: "500",
      NOMAD_IP: "10.0.0.1",
      "NOMAD_PORT_my-db.main": "5432",
      NOMAD_META_OWNER_NAME: "x y",
    });
  });

  it.each([
    [1n, "0"],
    [1_048_575n, "0"],
    [1_048_576n, "1"],
    [2_097_151n, "1"],
    [2n ** 63n - 1n, "8796093022207"],
  ])("rounds %d bytes of memory down to %s MiB", (memoryBytes, text) => {
    expect(environment({ limits: { memoryBytes } })["NOMAD_MEMORY_LIMIT"]).toBe(text);
  });

  it("lets the request win over everything but the two directories", () => {
    const env = new Map(
      [
        "HOME",
        "USER",
        "LOGNAME",
        "PATH",
        "NOMAD_IP",
        "NOMAD_MEMORY_LIMIT",
        "NOMAD_CPU_LIMIT",
        "NOMAD_PORT_a",
        "NOMAD_META_A",
        "NOMAD_ALLOC_DIR",
        "NOMAD_TASK_DIR",
        "OTHER",
      ].map((name) => [name, "mine"]),
    );
    expect(
      environment({
        env,
        ip: "::1",
        ports: new Map([["a", 1]]),
        meta: new Map([["a", "b"]]),
        limits: { memoryBytes: 1n, cpuShares: 2n },
      }),
    ).toEqual({ ...Object.fromEntries(env), NOMAD_ALLOC_DIR: "/alloc", NOMAD_TASK_DIR: "/local" });
  });
});
