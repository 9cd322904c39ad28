/** What `.ci/machine` makes of machines on which the tests' foreign clients can be had, or not. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

import { Scratch } from "../support/task-files";

const MACHINE = resolve(__dirname, "../../.ci/machine");

/** Shell scripts in the place of programs: each but `timeout` notes how it was run, and does no more than it says. */
type Programs = Readonly<Record<string, string>>;

const WITHOUT_GO: Programs = {
  "apt-get": "",
  userdel: "",
  useradd: "",
  node: "echo 22",
  // There is a pip, and nothing that it has installed.
  python3: '[ "$1" = -m ]',
};
const FRESH: Programs = { ...WITHOUT_GO, go: "" };

const GO = "go install github.com/fullstorydev/grpcurl/cmd/grpcurl@latest";
const PIP = "python3 -m pip install --quiet --target .cache/python grpcio-tools";
const USER = "useradd --no-create-home --home-dir /nowhere --shell /bin/sh --groups users somebody";

const scratch = new Scratch();

afterAll(() => scratch[Symbol.dispose]());

interface Prepared {
  readonly status: number | null;
  readonly stderr: string;
  /** The command lines of all that was run. */
  readonly ran: readonly string[];
}

/** Runs it where there are these programs alone. */
function prepare(programs: Programs): Prepared {
  const directory = mkdtempSync(join(scratch.path, "bin-"));
  const log = join(directory, "ran");
  writeFileSync(join(directory, "timeout"), '#!/bin/sh\nshift\nexec "$@"\n', { mode: 0o755 });
  for (const [name, script] of Object.entries(programs)) {
    const noting = `#!/bin/sh\necho "${name} $*" >>'${log}'\n${script}\n`;
    writeFileSync(join(directory, name), noting, { mode: 0o755 });
  }
  const { status, stderr } = spawnSync("/bin/bash", [MACHINE, "somebody", "/nowhere"], {
    env: { PATH: directory },
    encoding: "utf8",
  });
  return { status, stderr, ran: readFileSync(log, "utf8").split("\n") };
}

it("grpcurl and grpcio-tools are installed where they can be", () => {
  const { status, stderr, ran } = prepare(FRESH);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  expect(ran).toEqual(expect.arrayContaining([USER, GO, PIP]));
});

it("what is there is not installed again", () => {
  const { status, ran } = prepare({ ...FRESH, grpcurl: "", python3: "" });
  expect(status).toBe(0);
  expect(ran).toContain(USER);
  expect(ran).not.toContain(GO);
  expect(ran).not.toContain(PIP);
});

it("where there is no Go there need be no grpcurl", () => {
  const { status, stderr, ran } = prepare(WITHOUT_GO);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  expect(ran).toEqual(expect.arrayContaining([USER, PIP]));
});

it.each([
  ["grpcurl", { go: "exit 1" }],
  ["grpcio_tools", { python3: "exit 1" }],
])("to fail to install %s is a failure, and all else is done", (name, broken) => {
  const { status, stderr, ran } = prepare({ ...FRESH, ...broken });
  expect({ status, stderr }).toEqual({ status: 1, stderr: `cannot install ${name}\n` });
  expect(ran).toEqual(expect.arrayContaining([USER, GO, PIP]));
});
