/** What orchestrators use: a client of the daemon, its messages and its errors. */
export { StockadeClient, type CallSettings } from "./client.js";
export type { ConfigureFields } from "./configure-fields.js";
export { StockadeError } from "./error.js";
export * from "../gen/executor/v1/executor.js";
