/** A daemon whose certificate has the IP address by which it is called, and no name. */
import { execFile } from "node:child_process";
import { resolve } from "node:path";
import { promisify } from "node:util";

import { connect } from "../../src/client";
import { sha256 } from "../support/certificates";
import { RemoteDaemon } from "../support/remote-daemon";

const SDK = resolve(__dirname, "../../dist/js/client/index.js");
/** A program that prints how many tasks there are; Node warns once for each process. */
const LIST = `
  const [sdk, options] = process.argv.slice(1);
  const client = require(sdk).connect(JSON.parse(options));
  client.list().then(({ tasks }) => console.log(tasks.length)).finally(() => client.close());
`;
const TOKEN = "a-token-of-a-test";
const ACCESS = [{ name: "ci", role: "run", token_sha256: sha256(TOKEN) }];

const run = promisify(execFile);

it.each([
  ["127.0.0.1", "IP:127.0.0.1"],
  ["::1", "IP:::1"],
])("is trusted as %s, without a word", async (listen, san) => {
  await using daemon = await RemoteDaemon.start({ access: ACCESS, listen, san });
  for (const tls of [{}, { serverName: listen }]) {
    const options = {
      address: daemon.address,
      token: TOKEN,
      tls: { ...tls, ca: daemon.authority.ca.toString() },
    };
    const said = await run(process.execPath, ["--eval", LIST, SDK, JSON.stringify(options)]);
    expect(said).toEqual({ stdout: "0\n", stderr: "" });
  }
});

it.each(["IP:127.0.0.2", "DNS:127.0.0.1", "DNS:address.invalid", "DNS:localhost"])(
  "is not trusted as 127.0.0.1 by %s",
  async (san) => {
    await using daemon = await RemoteDaemon.start({ access: ACCESS, san });
    const { address, authority } = daemon;
    for (const tls of [{}, { serverName: "127.0.0.1" }]) {
      using client = connect({ address, token: TOKEN, tls: { ...tls, ca: authority.ca } });
      await expect(client.list()).rejects.toMatchObject({
        code: "UNAVAILABLE",
        reason: "SERVER_UNTRUSTED",
        message: expect.stringContaining("127.0.0.1"),
      });
    }
  },
);
