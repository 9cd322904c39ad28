import { credentials, Metadata, status, type ServiceError } from "@grpc/grpc-js";

import { ConfigureRequest, ExecutorServiceClient } from "../gen/executor/v1/executor.js";

const AT_ONCE = 8;
/** What has run some hundred times V8 has compiled: a burst takes half as long then. A slow machine has fewer rounds. */
const ROUNDS = 24;
const ROUNDS_MS = 100;
const TIMEOUT_MS = 30_000;

/** An id that no task has: its namespace is below no root's. */
const NOBODY = "CGROUP:/self-check/00000000-0000-7000-8000-000000000000";

/** A task that no policy allows, of root's: it is refused once all of the request has been looked at. */
const FORBIDDEN = ConfigureRequest.fromPartial({
  allocId: "self-check",
  taskName: "self-check",
  command: "true",
  user: "0",
});

/**
 * The daemon as its own first client: several calls at once over its own socket, of which Wait must be answered
 * as by contract. So the first burst of others meets code that has run, and does not hold the event loop
 * for as long as it takes to compile.
 * @param address of a listener without encryption: "unix:<path>"
 */
export async function checkSelf(address: string): Promise<void> {
  const client = new ExecutorServiceClient(address, credentials.createInsecure());
  try {
    const end = performance.now() + ROUNDS_MS;
    for (let round = 0; round === 0 || (round < ROUNDS && performance.now() < end); round++) {
      const codes = await Promise.all(Array.from({ length: AT_ONCE }, () => codeOfCalls(client)));
      const wrong = codes.find((code) => code !== status.NOT_FOUND);
      if (wrong !== undefined) throw new Error(`cannot be reached by itself on ${address}: ${status[wrong]}`);
    }
  } finally {
    client.close();
  }
}

/** Of Wait. Why a Configure is refused that must be is not looked at: a host that is short of something has other words. */
async function codeOfCalls(client: ExecutorServiceClient): Promise<status> {
  const options = { deadline: Date.now() + TIMEOUT_MS };
  const [code] = await Promise.all([
    codeOf((told) => client.wait({ id: NOBODY }, new Metadata(), options, told)),
    codeOf((told) => client.configure(FORBIDDEN, new Metadata(), options, told)),
  ]);
  return code;
}

function codeOf(call: (told: (error: ServiceError | null) => void) => unknown): Promise<status> {
  return new Promise((resolve) => {
    call((error) => resolve(error === null ? status.OK : error.code));
  });
}
