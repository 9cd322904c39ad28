import { readFileSync } from "node:fs";
import { join } from "node:path";

import {
  ERROR_REASONS,
  exclusiveFields,
  invalidField,
  missingField,
  REASON_CODES,
  TaskError,
} from "../../src/tasks/errors.js";

const DOCS = join(__dirname, "../../docs/errors.md");

describe("the table of errors in the docs", () => {
  const rows = readFileSync(DOCS, "utf8")
    .split("\n")
    .filter((line) => line.startsWith("| `"))
    .map((line) => line.split("|").map((cell) => cell.trim()))
    .map(([, reason = "", code = "", when = "", what = ""]) => ({ reason, code, when, what }));

  it("has the reasons of the code, with their codes and in their order", () => {
    expect(rows.map(({ reason, code }) => [reason, code])).toEqual(
      Object.entries(REASON_CODES).map(([reason, code]) => [`\`${reason}\``, `\`${code}\``]),
    );
  });

  it("says of each when it comes and what to do", () => {
    for (const { when, what } of rows) expect([when, what]).not.toContain("");
  });
});

describe("a TaskError", () => {
  it("has the code of its reason, for every reason", () => {
    for (const reason of ERROR_REASONS) {
      expect(new TaskError({ reason, message: "x" }).code).toBe(REASON_CODES[reason]);
    }
  });

  it("keeps what it is given, and its cause", () => {
    const cause = new Error("below");
    const error = new TaskError({
      reason: "SANDBOX_FAILED",
      message: "cannot mount /proc: EPERM",
      field: "mounts[0]",
      metadata: { errno: "EPERM" },
      cause,
    });
    expect(error).toMatchObject({
      name: "TaskError",
      message: "cannot mount /proc: EPERM",
      field: "mounts[0]",
      metadata: { errno: "EPERM" },
      cause,
    });
  });

  it("has neither field, metadata nor cause unless given", () => {
    const error = new TaskError({ reason: "ENDED", message: "the task has ended" });
    expect(error.field).toBeUndefined();
    expect(error.metadata).toEqual({});
    expect("cause" in error).toBe(false);
  });

  it.each([
    [invalidField("env", "env has an empty name"), "FIELD_INVALID", "env"],
    [missingField("task_name"), "FIELD_MISSING", "task_name"],
    [exclusiveFields("args", "command_line"), "FIELDS_EXCLUSIVE", "args"],
  ])("%s is INVALID_ARGUMENT and names its field", (error, reason, field) => {
    expect(error).toMatchObject({ code: "INVALID_ARGUMENT", reason, field });
    expect(error.message).toContain(field);
  });
});
