/** Whose the unix socket is, and who may open it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { refused } from "../support/hand-daemon";
import { PROGRAM, TestDaemon } from "../support/daemon";
import { flagsWith, Places } from "../support/places";
import { itRequires } from "../support/requires";
import { ownerAndMode, Scratch } from "../support/task-files";

function socketOf(daemon: TestDaemon): string {
  return ownerAndMode(daemon.daemon.address.replace(/^unix:/, ""));
}

it("is the daemon's user's alone", async () => {
  await using daemon = await TestDaemon.start();
  expect(socketOf(daemon)).toBe(`${process.geteuid?.()}:${process.getegid?.()} 600`);
});

it("was nobody else's from its first moment", async () => {
  using scratch = new Scratch();
  const file = join(scratch.path, "listening");
  const preload = join(__dirname, "../support/record-listening.js");
  const env = { ...process.env, NODE_OPTIONS: `--require ${preload}`, STOCKADE_TEST_LISTENING: file };
  await using daemon = await TestDaemon.start({ socket_mode: "0660" }, PROGRAM, env);
  expect(socketOf(daemon)).toMatch(/ 660$/);
  expect(readFileSync(file, "utf8")).toBe("700\n");
});

itRequires("root", "is whose the configuration says, and its group's", async () => {
  await using daemon = await TestDaemon.start({
    socket_owner: "nobody",
    socket_group: "4242",
    socket_mode: "0660",
  });
  expect(socketOf(daemon)).toBe("65534:4242 660");
});

it.each(["socket_owner", "socket_group"])("is nobody's whom the host does not know: %s", async (key) => {
  await using places = new Places();
  const { status, stderr } = refused(flagsWith(places.fresh(), { [key]: "no-such-name" }));
  expect([status, stderr]).toEqual([2, `stockaded: --config: ${key} is unknown to this host\n`]);
});

it.each([
  [
    "that is not there",
    "/nonexistent/server.pem",
    /tls\.cert_file: '\/nonexistent\/server\.pem' cannot be read: ENOENT/,
  ],
  ["that is none", "/etc/passwd", /^stockaded: --config: tls: /],
])("a certificate %s is refused at the start", async (_, path, message) => {
  await using places = new Places();
  const place = places.fresh();
  const key = `${places.scratch.path}/key`;
  places.scratch.sh(`umask 077; echo none >${key}`);
  const access = [{ name: "a", role: "admin", token_sha256: "0".repeat(64) }];
  const { status, stderr } = refused(flagsWith(place, { tls: { cert_file: path, key_file: key }, access }));
  expect(status).toBe(2);
  expect(stderr).toMatch(message);
});
