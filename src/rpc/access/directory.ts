/** The access list: who a certificate's or a token's bearer is. */
import { createHash, timingSafeEqual } from "node:crypto";

import type { AccessEntry } from "../../tasks/access/entry.js";
import type { Identity } from "../../tasks/access/identity.js";

export class Directory {
  private readonly names: ReadonlySet<string>;
  private readonly certificates = new Map<string, Identity>();
  private readonly tokens: readonly { readonly sha256: Buffer; readonly identity: Identity }[];

  constructor(entries: readonly AccessEntry[]) {
    this.tokens = entries.flatMap((entry) =>
      entry.kind === "token" ? [{ sha256: entry.tokenSha256, identity: identityOf(entry) }] : [],
    );
    this.names = new Set(entries.map(({ name }) => name));
    for (const entry of entries) {
      if (entry.kind === "certificate") this.certificates.set(entry.certificateName, identityOf(entry));
    }
  }

  has(name: string): boolean {
    return this.names.has(name);
  }

  /** Whether there is any caller who needs no certificate. */
  get hasTokens(): boolean {
    return this.tokens.length > 0;
  }

  /** The first of a certificate's names that is known. */
  byCertificate(names: readonly string[]): Identity | undefined {
    const known = names.find((name) => this.certificates.has(name));
    return known === undefined ? undefined : this.certificates.get(known);
  }

  /** Takes the same time for each token: all entries are compared, and of the token only its digest is. */
  byToken(sha256: Buffer): Identity | undefined {
    let found: Identity | undefined;
    for (const entry of this.tokens) {
      if (timingSafeEqual(entry.sha256, sha256)) found = entry.identity;
    }
    return found;
  }
}

export function digestOf(token: string): Buffer {
  return createHash("sha256").update(token, "utf8").digest();
}

function identityOf({ name, group, role }: AccessEntry): Identity {
  return Object.freeze({ name, group, role });
}
