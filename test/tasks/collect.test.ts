import { collectFile, type Collection } from "../../src/tasks/collect";
import { HelperFault, HelperGone, type Collect, type CollectedFile } from "../../src/tasks/ports";

const TASK = { uuid: "u", allocId: "a", taskName: "t" };
const FILE: CollectedFile = { sizeBytes: 2n, truncated: false, mode: 0o644 };

/** What was asked of both ports, in order. */
function parts(collect: () => Promise<CollectedFile>): {
  readonly asked: unknown[];
  readonly parts: Parameters<typeof collectFile>[0];
} {
  const asked: unknown[] = [];
  const made = {
    sandboxes: {
      collect: (wanted: Collect) => {
        asked.push(wanted);
        return collect();
      },
    },
    records: {
      roomForCollected: (uuid: string) => Promise.resolve(`/${uuid}/0`),
      readCollected: async function* () {
        yield Buffer.from("ab");
      },
      removeCollected: (path: string) => {
        asked.push(`remove ${path}`);
        return Promise.resolve();
      },
    },
  };
  return { asked, parts: made };
}

/** The last of what `use` tells of a file. */
async function collected<T>(
  made: Parameters<typeof collectFile>[0],
  use: (collection: Collection) => Promise<T>,
): Promise<T> {
  const told: T[] = [];
  const wanted = { path: "/local/out", maxBytes: 9n };
  const events = collectFile(made, TASK, wanted, async function* (collection) {
    yield await use(collection);
  });
  for await (const event of events) told.push(event);
  return told.at(-1) as T;
}

async function contentOf(collection: Collection): Promise<string> {
  const pieces: Buffer[] = [];
  if (collection.kind === "file") for await (const piece of collection.content) pieces.push(piece);
  return Buffer.concat(pieces).toString();
}

it("has a file used, and takes its copy away then", async () => {
  const { asked, parts: made } = parts(() => Promise.resolve(FILE));
  const used = await collected(made, async (collection) => {
    expect(collection).toMatchObject({ kind: "file", file: FILE });
    asked.push("used");
    return contentOf(collection);
  });
  expect(used).toBe("ab");
  expect(asked).toEqual([
    { allocId: "a", taskName: "t", path: "/local/out", maxBytes: 9n, into: "/u/0" },
    "used",
    "remove /u/0",
  ]);
});

it("takes the copy away where its use fails, too", async () => {
  const { asked, parts: made } = parts(() => Promise.resolve(FILE));
  const failed = collected(made, () => Promise.reject(new Error("the client has gone")));
  await expect(failed).rejects.toThrow("the client has gone");
  expect(asked.at(-1)).toBe("remove /u/0");
});

it.each([
  ["OPEN_COLLECTED", "ENOENT", "file"],
  ["COPY_COLLECTED", "ENOSPC", "host"],
] as const)("tells of %s: %s whose it is", async (step, errno, of) => {
  const fault = new HelperFault({ step, errno, index: 0 });
  const { asked, parts: made } = parts(() => Promise.reject(fault));
  const told = await collected(made, (collection) => Promise.resolve(collection));
  expect(told).toEqual({ kind: "failed", of, errno });
  expect(asked.at(-1)).toBe("remove /u/0");
});

it("is not about the file where there is no helper any more", async () => {
  const { asked, parts: made } = parts(() => Promise.reject(new HelperGone("exit 0")));
  const lost = collected(made, () => Promise.resolve());
  await expect(lost).rejects.toThrow(HelperGone);
  expect(asked.at(-1)).toBe("remove /u/0");
});

it.each(["ENOSPC", "EROFS", "EDQUOT"])(
  "tells of %s where there is no room for copies at all",
  async (code) => {
    const { asked, parts: made } = parts(() => Promise.resolve(FILE));
    const full = Object.assign(new Error("mkdir /u/collected"), { code });
    const records = { ...made.records, roomForCollected: () => Promise.reject(full) };
    const told = await collected({ ...made, records }, (collection) => Promise.resolve(collection));
    expect(told).toEqual({ kind: "failed", of: "host", errno: code });
    expect(asked).toEqual([]);
  },
);

it("says that the host is exhausted where a copy cannot be read, and nothing of where it is", async () => {
  const { asked, parts: made } = parts(() => Promise.resolve(FILE));
  const shortage = Object.assign(new Error("open /u/0"), { code: "EMFILE" });
  const readCollected = (): AsyncGenerator<Buffer> => {
    throw shortage;
  };
  const records = { ...made.records, readCollected };
  await expect(collected({ ...made, records }, contentOf)).rejects.toMatchObject({
    reason: "HOST_EXHAUSTED",
    message: expect.not.stringContaining("/u"),
    metadata: { errno: "EMFILE" },
  });
  expect(asked.at(-1)).toBe("remove /u/0");
});

/** As a disk has it that has become read-only, of what is not there, too. */
const removeCollected = (): Promise<void> =>
  Promise.reject(Object.assign(new Error("unlink /u/0"), { code: "EROFS" }));

it("says that the host is exhausted where a copy cannot be removed, and nothing of where it is", async () => {
  const { parts: made } = parts(() => Promise.resolve(FILE));
  const records = { ...made.records, removeCollected };
  await expect(collected({ ...made, records }, contentOf)).rejects.toMatchObject({
    reason: "HOST_EXHAUSTED",
    message: "cannot remove the copy of a file that was asked for: EROFS",
    metadata: { errno: "EROFS" },
  });
});

it("tells of a file that could not be copied, whether or not that can be removed", async () => {
  const fault = new HelperFault({ step: "COPY_COLLECTED", errno: "EROFS", index: 0 });
  const { parts: made } = parts(() => Promise.reject(fault));
  const records = { ...made.records, removeCollected };
  const told = await collected({ ...made, records }, (collection) => Promise.resolve(collection));
  expect(told).toEqual({ kind: "failed", of: "host", errno: "EROFS" });
});

it("says that there is no such task any more where the record has gone", async () => {
  const { parts: made } = parts(() => Promise.resolve(FILE));
  const gone = Object.assign(new Error("mkdir"), { code: "ENOENT" });
  const records = { ...made.records, roomForCollected: () => Promise.reject(gone) };
  await expect(collected({ ...made, records }, () => Promise.resolve())).rejects.toMatchObject({
    reason: "TASK_NOT_FOUND",
  });
});
