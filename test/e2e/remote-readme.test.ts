/** The five commands with which README.md has a client from elsewhere run a task. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { join, resolve } from "node:path";
import { promisify } from "node:util";

import { saysReady } from "../../src/cli/own-daemon";
import { PROGRAM } from "../support/daemon";
import { flagsEndingTasks, Places } from "../support/places";
import { itRequires } from "../support/requires";

const run = promisify(execFile);
const ROOT = resolve(__dirname, "../..");

function commands(): string[] {
  const readme = readFileSync(join(ROOT, "README.md"), "utf8");
  const section = /^## From another machine$.*?^```sh\n(.*?)^```$/ms.exec(readme)?.[1] ?? "";
  return section.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
}

it("README.md has five commands", () => {
  expect(commands().map((text) => text.split(" ")[0])).toEqual([
    "openssl",
    "openssl",
    "openssl",
    "dist/bin/stockaded",
    "grpcurl",
  ]);
});

itRequires(["root", "cgroups", "grpcurl"], "they do what README.md says", async () => {
  await using places = new Places();
  const place = places.fresh();
  const cwd = places.scratch.path;
  const port = await freePort();
  // A test's own directories and port, and an address that leads there, for those of two hosts.
  const own = flagsEndingTasks(place).filter(
    (_, at, all) => !["--config", "--listen"].includes(all[at - (at % 2)] ?? ""),
  );
  const asHere = (text: string): string =>
    text
      .replace("dist/bin/stockaded", `exec ${PROGRAM} ${own.join(" ")}`)
      .replace("docs/", `${ROOT}/docs/`)
      .replace("0.0.0.0:7443", `127.0.0.1:${port}`)
      .replace("build-1.example.com:7443", `-authority build-1.example.com 127.0.0.1:${port}`)
      .replace(/ &$/, "");
  const [ca = "", server = "", client = "", daemon = "", call = ""] = commands().map(asHere);
  for (const command of [ca, server, client]) await run("sh", ["-ec", command], { cwd });
  const child = spawn("sh", ["-ec", daemon], { cwd, stdio: ["ignore", "ignore", "pipe"] });
  try {
    let said = "";
    for await (const chunk of child.stderr) {
      said += String(chunk);
      if (saysReady(said)) break;
    }
    expect(said).toContain('"message":"ready"');
    const { stdout } = await run("sh", ["-ec", call], { cwd });
    expect(JSON.parse(stdout)).toEqual({ id: expect.stringMatching(/^CGROUP:/) });
    const without = call.replace(/-cert \S+ -key \S+/, "");
    await expect(run("sh", ["-ec", without], { cwd })).rejects.toThrow();
  } finally {
    child.kill("SIGTERM");
    await once(child, "exit");
  }
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
