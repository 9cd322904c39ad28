/** Requests that take long to decode: those of one identity hold up nobody else. */
import { LargeRequests, type LargeRequest } from "../../src/rpc/large-requests";
import { LOCAL_ADMIN, type Caller } from "../../src/tasks/access/identity";

const MIB = 2 ** 20;
const DECODE_MS = 4;

const by = (name: string): Caller => ({ role: "run", identity: { name, group: undefined } });

/** One that takes so long; it is decoded to the time at which it was. */
function large(bytes = MIB, ms = DECODE_MS): LargeRequest<number> {
  const decode = (): number => {
    for (const end = performance.now() + ms; performance.now() < end;);
    return performance.now();
  };
  return { bytes, decode };
}

const { signal } = new AbortController();

it("those of one identity are decoded one after the other, and far apart; another's meanwhile", async () => {
  const requests = new LargeRequests();
  const [first, second, other] = await Promise.all([
    requests.decode(large(), by("one"), signal),
    requests.decode(large(), by("one"), signal),
    requests.decode(large(), by("other"), signal),
  ]);
  // 2 ms more than it may take, and 49 times as long.
  expect(second - first).toBeGreaterThan(90);
  expect(other).toBeLessThan(second);
});

it("those that take no long time are not held up, and neither is the administrator", async () => {
  const requests = new LargeRequests();
  const begin = performance.now();
  for (let count = 0; count < 20; count++) await requests.decode(large(MIB, 0), by("one"), signal);
  for (let count = 0; count < 3; count++) await requests.decode(large(), LOCAL_ADMIN, signal);
  expect(performance.now() - begin).toBeLessThan(90);
});

it("more than 128 MiB of those that wait are refused, and taken again once these are gone", async () => {
  const requests = new LargeRequests();
  const waiting = Array.from({ length: 32 }, () => requests.decode(large(4 * MIB, 0), by("one"), signal));
  await expect(requests.decode(large(1, 0), by("one"), signal)).rejects.toMatchObject({
    reason: "TOO_MANY_CALLS",
  });
  await requests.decode(large(1, 0), by("other"), signal);
  await Promise.all(waiting);
  await requests.decode(large(4 * MIB, 0), by("one"), signal);
});

it("one whose caller has gone is not decoded, and holds up none", async () => {
  const requests = new LargeRequests();
  const gone = new AbortController();
  const reason = new Error("gone");
  const decoded = requests.decode(large(), by("one"), gone.signal);
  gone.abort(reason);
  await expect(decoded).rejects.toBe(reason);
  const begin = performance.now();
  await requests.decode(large(MIB, 0), by("one"), signal);
  expect(performance.now() - begin).toBeLessThan(90);
});
