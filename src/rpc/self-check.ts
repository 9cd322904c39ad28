import { credentials, Metadata, status } from "@grpc/grpc-js";

import { ExecutorServiceClient } from "../gen/executor/v1/executor.js";

const CALLS = 8;
const TIMEOUT_MS = 10_000;

/** An id that no task has: its namespace is below no root's. */
const NOBODY = "CGROUP:/self-check/00000000-0000-7000-8000-000000000000";

/**
 * The daemon as its own first client: several calls at once over its own socket, each of which must be answered
 * as by contract. So the first burst of others meets code that has run, and does not hold the event loop
 * for as long as it takes to compile.
 * @param address of a listener without encryption: "unix:<path>"
 */
export async function checkSelf(address: string): Promise<void> {
  const client = new ExecutorServiceClient(address, credentials.createInsecure());
  try {
    const codes = await Promise.all(Array.from({ length: CALLS }, () => codeOf(client)));
    const wrong = codes.find((code) => code !== status.NOT_FOUND);
    if (wrong !== undefined) throw new Error(`cannot be reached by itself on ${address}: ${status[wrong]}`);
  } finally {
    client.close();
  }
}

function codeOf(client: ExecutorServiceClient): Promise<status> {
  return new Promise((resolve) => {
    const options = { deadline: Date.now() + TIMEOUT_MS };
    client.wait({ id: NOBODY }, new Metadata(), options, (error) =>
      resolve(error === null ? status.OK : error.code),
    );
  });
}
