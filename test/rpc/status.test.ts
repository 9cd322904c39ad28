import { toServiceError } from "../../src/rpc/status";
import { TaskError } from "../../src/tasks/errors";

/** What gRPC implementations take of headers, names and overhead included; the least is the C core's. */
const HEADERS_BYTES_MAX = 8192;

it.each([
  ["of one byte", "x"],
  ["of four", "😀"],
  ["of no meaning", "\ud83d"],
  ["that are escaped", "\n"],
])("an error fits into what clients take of headers, whatever is in it: characters %s", (_, character) => {
  const long = character.repeat(100_000);
  const error = toServiceError(
    new TaskError({
      reason: "COMMAND_NOT_EXECUTABLE",
      message: long,
      field: long,
      metadata: { stage: long, errno: long, path: long, target: long },
    }),
  );
  const message = encodeURI(error.details);
  const [details] = error.metadata.get("grpc-status-details-bin");
  if (!Buffer.isBuffer(details)) throw new Error("no details");
  expect(message.length + details.toString("base64").length).toBeLessThan(HEADERS_BYTES_MAX - 512);
});
