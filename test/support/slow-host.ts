/** Stretches the timeout of each test. Not in Jest's configuration, which is to be the same on every machine. */
import { SLOW } from "./requires";

if (SLOW !== 1) jest.setTimeout(60_000 * SLOW);
