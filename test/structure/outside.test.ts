/** What `make` leaves outside of the checkout: nothing, but for npm's own cache. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const ROOT = resolve(__dirname, "../..");

it("buf leaves nothing in the user's home directory, nor among temporary files", () => {
  const home = mkdtempSync(join(tmpdir(), "stockade-outside-"));
  try {
    const temporary = join(home, "tmp");
    mkdirSync(temporary);
    // Of this process's environment only where programs are: a make above this one, and a cache that is elsewhere
    // already, are not the test's.
    const env = { PATH: process.env["PATH"], HOME: home, TMPDIR: temporary };
    const rule = "compile: ; @buf build -o /dev/null";
    execFileSync("make", ["-s", "-C", ROOT, `--eval=${rule}`, "compile"], { env, stdio: "pipe" });
    expect(readdirSync(home)).toEqual(["tmp"]);
    expect(readdirSync(temporary)).toEqual([]);
  } finally {
    rmSync(home, { recursive: true });
  }
});
