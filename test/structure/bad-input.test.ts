/** That each field of each request has a row by which the tests of bad input have it refused. */
import { pathsIn, REQUEST_FIELDS, type FieldPath } from "../support/api-fields";
import { BYTES } from "../support/bad-requests/bytes";
import * as configure from "../support/bad-requests/configure";
import { LIMIT, LIST, SHUTDOWN } from "../support/bad-requests/others";
import * as run from "../support/bad-requests/run";

type Named = readonly (readonly [what: string, request: unknown, reason: string, field: string])[];

const TABLES: readonly (readonly [method: string, rows: Named, within?: string])[] = [
  ["Configure", configure.CONFIGURE],
  ["Limit", LIMIT],
  ["Shutdown", SHUTDOWN],
  ["List", LIST],
  ["Run", run.CONFIGURE, "configure."],
  ["Run", [...run.RESOURCES, ...run.FILES, ...run.COLLECT, ...run.HEARTBEAT]],
];

/** Of these the whole is named, whichever part of it is at fault; a map's entries have no names. */
const isNamedAsOne = ({ name, isMap }: FieldPath[0]): boolean =>
  isMap || ["timeout", "cpu_time_limit", "grace_period", "heartbeat_interval"].includes(name);

/** `Run.configure.mounts.source`: whichever of what is repeated. */
function fields(): string[] {
  return [...REQUEST_FIELDS].flatMap(([method, ofMethod]) =>
    pathsIn(ofMethod)
      .filter((path) => !path.slice(0, -1).some(isNamedAsOne))
      .map((path) => [method, ...path.map(({ name }) => name)].join(".")),
  );
}

function refused(): Set<string> {
  const named = TABLES.flatMap(([method, rows, within = ""]) =>
    rows.map(([, , , field]) => `${method}.${within}${field}`),
  );
  const ofBytes = BYTES.map(([method, , , , field]) => `${method}.${field}`);
  return new Set([...named, ...ofBytes].map((name) => name.replace(/\[\d+\]/g, "")));
}

/** Whose own rows, or those of what is in it, are among these. */
const isAmong = (rows: ReadonlySet<string>, field: string): boolean =>
  rows.has(field) || [...rows].some((row) => row.startsWith(`${field}.`));

it("every field of every request is refused at least once", () => {
  const rows = refused();
  expect(fields().length).toBeGreaterThan(80);
  expect(fields().filter((field) => !isAmong(rows, field))).toEqual([]);
});

it("no row is about a field that no request has", () => {
  const known = new Set(fields());
  const unknown = [...refused()].filter((row) => !known.has(row) && !row.endsWith(".grace_period.seconds"));
  expect(unknown).toEqual([]);
});
