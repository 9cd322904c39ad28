/** Certificates that one side does not take of the other. Only what grpc-js passes on of Node, whose words are OpenSSL's, tells of it. */
import { status, type ServiceError } from "@grpc/grpc-js";

import type { LocalReason } from "./reasons.js";

export interface Distrust {
  readonly reason: LocalReason;
  /** In words. */
  readonly message: string;
}

/** An alert is the server's word, and of another certificate. */
const SERVER =
  /^No connection established\. Last error: Error(?: \[\w+\])?: (?!.*\balert\b)(?<why>.*(?:certificate|altnames).*?)\.* Resolution note:/s;

const CLIENT = /^No connection established\. Last error: .*\bSSL alert number (?<alert>\d+)\b/s;

/** The alerts that are about a client's certificate: RFC 8446, 6.2, and RFC 5246, 7.2.2. */
const ALERTS: Readonly<Record<string, string>> = {
  42: "it is malformed, or not signed as it should be",
  43: "it is none for clients",
  44: "it is revoked",
  45: "it has expired, or is not valid yet",
  46: "it is not accepted",
  48: "its authority is not known",
  49: "it is not allowed in",
  116: "there is none",
};

/** That TLS was refused, and by whom; undefined: it is something else that has failed. */
export function distrustIn({ code, details }: ServiceError): Distrust | undefined {
  if (code !== status.UNAVAILABLE) return undefined;
  const why = SERVER.exec(details)?.groups?.["why"];
  if (why !== undefined) {
    return { reason: "SERVER_UNTRUSTED", message: `the server's certificate is not trusted: ${why}` };
  }
  const said = ALERTS[CLIENT.exec(details)?.groups?.["alert"] ?? ""];
  if (said === undefined) return undefined;
  return { reason: "CLIENT_UNTRUSTED", message: `the server refuses this client's certificate: ${said}` };
}
