import type { Identity } from "./identity.js";

/** One entry of the access list: an identity, and what shows that a caller is it. */
export type AccessEntry = Identity &
  (
    | { readonly kind: "certificate"; readonly certificateName: string }
    /** SHA-256 of the token. */
    | { readonly kind: "token"; readonly tokenSha256: Buffer }
  );

/** What TLS is served with, PEM all of it. */
export interface TlsMaterial {
  readonly cert: Buffer;
  readonly key: Buffer;
  /** Whose client certificates are taken; undefined: nobody's. */
  readonly clientCa: Buffer | undefined;
  readonly crl: Buffer | undefined;
}

/** All by which a daemon tells who calls. */
export interface Access {
  readonly entries: readonly AccessEntry[];
  readonly tls: TlsMaterial;
}
