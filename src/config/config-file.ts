import { readFileSync } from "node:fs";

import { ConfigError } from "./config-error.js";

/** The JSON value that a file holds, unchecked. Throws ConfigError. */
export function readConfigFile(path: string): unknown {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "unknown error";
    throw new ConfigError(`--config: cannot read '${path}': ${code}`, { cause: error });
  }
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new ConfigError(`--config: '${path}' holds no JSON`, { cause: error });
  }
}
