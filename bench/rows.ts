/** What has been measured: a table for people, JSON for machines. */
import { writeFile } from "node:fs/promises";
import { release } from "node:os";

/** A figure, or why there is none. */
export type Row =
  | {
      readonly key: string;
      readonly what: string;
      readonly value: number;
      readonly unit: string;
      /** The most that is hoped for. */
      readonly target?: number;
    }
  | { readonly key: string; readonly what: string; readonly skipped: string };

export function tableOf(rows: readonly Row[]): string {
  const width = Math.max(...rows.map(({ what }) => what.length));
  return rows.map((row) => `${row.what.padEnd(width)}  ${figureOf(row)}\n`).join("");
}

function figureOf(row: Row): string {
  if ("skipped" in row) return `skipped: ${row.skipped}`;
  const { value, unit, target } = row;
  const figure = `${format(value).padStart(9)} ${unit}`;
  if (target === undefined) return figure;
  return `${figure.padEnd(16)} (target: ≤ ${target}, ${value <= target ? "met" : "missed"})`;
}

function format(value: number): string {
  return Number.isInteger(value) || value >= 100 ? value.toFixed(0) : value.toFixed(value < 10 ? 2 : 1);
}

export async function writeResults(path: string, quick: boolean, rows: readonly Row[]): Promise<void> {
  const host = { kernel: release(), node: process.version };
  await writeFile(path, `${JSON.stringify({ quick, host, rows }, undefined, 2)}\n`);
}
