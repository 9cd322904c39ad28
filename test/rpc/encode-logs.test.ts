import { LogsResponse, OutputStream } from "../../src/gen/executor/v1/executor";
import { encodeLogsResponse } from "../../src/rpc/encode-logs";

it.each([
  [OutputStream.OUTPUT_STREAM_STDOUT, 0n, 1],
  [OutputStream.OUTPUT_STREAM_STDERR, 1n, 0],
  [OutputStream.OUTPUT_STREAM_STDOUT, 2n ** 53n, 127],
  [OutputStream.OUTPUT_STREAM_STDERR, 300n, 128],
  [OutputStream.OUTPUT_STREAM_STDOUT, 2n ** 63n, 65_536],
])("the generated decoder reads a chunk of stream %s at %s with %s bytes", (stream, offset, size) => {
  const data = Buffer.alloc(size, "0123456789");
  const response: LogsResponse = { event: { $case: "chunk", value: { stream, offset, data } } };
  const encoded = Buffer.from(encodeLogsResponse(response));
  expect(LogsResponse.decode(encoded)).toEqual(response);
});

it("all else is encoded as by the generated code", () => {
  const responses: LogsResponse[] = [
    { event: undefined },
    { event: { $case: "heartbeat", value: {} } },
    {
      event: {
        $case: "gap",
        value: { stream: OutputStream.OUTPUT_STREAM_STDOUT, offset: 5n, sizeBytes: 7n },
      },
    },
    { event: { $case: "begin", value: { offsets: { stdout: 1n, stderr: 0n } } } },
  ];
  for (const response of responses) {
    expect(LogsResponse.decode(encodeLogsResponse(response))).toEqual(response);
  }
});
