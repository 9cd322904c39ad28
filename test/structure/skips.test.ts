import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, symlinkSync } from "node:fs";
import { join, resolve } from "node:path";

import skips from "../skips.json";
import { HOST, PROBES, type NeedName } from "../support/requires.js";
import { Scratch } from "../support/task-files.js";

it("each skip names a need with the probe that proves it, real properties of a host, and a reason", () => {
  const probes: Record<string, string> = PROBES;
  for (const { host, need, probe, why } of skips) {
    expect({ need, probe }).toEqual({ need, probe: probes[need] });
    expect(Object.keys(HOST)).toEqual(expect.arrayContaining(Object.keys(host)));
    // What each host may lack no host need have.
    expect(Object.keys(host)).not.toEqual([]);
    expect(why).not.toBe("");
  }
});

it("no host may skip the same need twice over", () => {
  const keys = skips.map(({ host, need }) => JSON.stringify([host, need]));
  expect(new Set(keys).size).toBe(keys.length);
});

describe("a test whose need the host lacks", () => {
  const top = resolve(__dirname, "../..");
  /** What each host of this one's kind lacks, and may. */
  const allowed = HOST.user === "root" ? "plain-user" : "root";
  /** What no host may lack: one on which there is no unshare(1) does. */
  const forbidden = "userns";
  let scratch: Scratch;

  beforeAll(() => {
    scratch = new Scratch();
    const programs = join(scratch.path, "bin");
    mkdirSync(programs);
    for (const name of ["sh", "id"]) symlinkSync(pathOf(name), join(programs, name));
  });

  afterAll(() => scratch[Symbol.dispose]());

  function pathOf(program: string): string {
    return execFileSync("sh", ["-c", `command -v ${program}`], { encoding: "utf8" }).trim();
  }

  /** Runs one test that needs it, by Jest as `make test` does; the exit code, and all that was printed. */
  function run(need: NeedName, ci: string): { readonly code: number | null; readonly printed: string } {
    const jest = [
      join(top, "node_modules/.bin/jest"),
      ...["--testMatch", "<rootDir>/test/fixtures/one-need.ts"],
      ...["--cacheDirectory", join(scratch.path, "jest")],
    ];
    const { status, stdout, stderr } = spawnSync(process.execPath, jest, {
      cwd: top,
      encoding: "utf8",
      env: { ...process.env, PATH: join(scratch.path, "bin"), CI: ci, NEED: need },
    });
    return { code: status, printed: stdout + stderr };
  }

  it("is skipped, and named with the need", () => {
    for (const need of [allowed, forbidden] as const) {
      const { code, printed } = run(need, "");
      expect(printed).toContain(
        `\nskipped: a test with a need [needs: ${need}]\n0 passed, 0 failed, 1 skipped\n`,
      );
      expect(code).toBe(0);
    }
  });

  it("is skipped with CI=true where the list allows that", () => {
    const { code, printed } = run(allowed, "true");
    expect(printed).toContain(
      `\nskipped: a test with a need [needs: ${allowed}]\n0 passed, 0 failed, 1 skipped\n`,
    );
    expect(code).toBe(0);
  });

  it("fails with CI=true where the list does not, by its name and with what is lacking", () => {
    const { code, printed } = run(forbidden, "true");
    expect(printed).toContain("● a test with a need");
    expect(printed).toContain(`this host lacks ${forbidden}, and test/skips.json does not allow that`);
    expect(printed).toContain("\n0 passed, 1 failed, 0 skipped\n");
    expect(code).toBe(1);
  });
});
