/** Loaded into the daemon before anything else: says, whenever it is sent SIGUSR2, how many bytes of its heap are in use. */
import { renameSync, writeFileSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

const file = process.env["STOCKADE_BENCH_HEAP"];
if (file !== undefined) {
  let asked = 0;
  process.on("SIGUSR2", () => {
    // What the first has finalized, the second frees.
    collectGarbage();
    collectGarbage();
    const { heapUsed, external } = process.memoryUsage();
    writeFileSync(`${file}.new`, JSON.stringify({ asked: ++asked, bytes: heapUsed + external }));
    renameSync(`${file}.new`, file);
  });
}
