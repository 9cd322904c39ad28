/** What a client's certificate says, and whether it still holds. */
import { X509Certificate } from "node:crypto";
import type { DetailedPeerCertificate, TLSSocket } from "node:tls";

import type { TlsMaterial } from "../../tasks/access/entry.js";
import { revokedBy, serialNumberOf, type SerialNumber } from "./der.js";

/** Most certificates of a chain that are looked at. */
const CHAIN_MAX = 10;

export interface ClientCertificate {
  /** Its own, then those of its issuers, as far as they are known. */
  readonly chain: readonly X509Certificate[];
  readonly names: readonly string[];
  readonly notAfterMs: number;
}

/** Of a connection whose handshake has verified it; undefined: the client has sent none. */
export function clientCertificate(socket: TLSSocket): ClientCertificate | undefined {
  const own = socket.getPeerX509Certificate();
  if (own === undefined) return undefined;
  const detailed = socket.getPeerCertificate(true);
  const chain = chainOf(detailed);
  return { chain, names: namesOf(own, detailed), notAfterMs: Date.parse(own.validTo) };
}

/** The alternative names of kinds DNS and URI; the common name only where there are none of them. Source: RFC 6125, 6.4.4. */
function namesOf({ subjectAltName = "" }: X509Certificate, { subject }: DetailedPeerCertificate): string[] {
  // Node writes a value that could be misread as a JSON string.
  const pattern = /(?:^|, )([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^,"]*)/g;
  const alternatives = [...subjectAltName.matchAll(pattern)].flatMap(([, kind, value = ""]) =>
    kind === "DNS" || kind === "URI" ? [value.startsWith('"') ? (JSON.parse(value) as string) : value] : [],
  );
  if (alternatives.length > 0) return alternatives;
  // A list where there are several: none of them is the name then.
  const common: unknown = subject.CN;
  return typeof common === "string" ? [common] : [];
}

function chainOf(detailed: DetailedPeerCertificate): X509Certificate[] {
  const chain: X509Certificate[] = [];
  for (let at = detailed; chain.length < CHAIN_MAX; at = at.issuerCertificate) {
    chain.push(new X509Certificate(at.raw));
    // A root is its own issuer; an issuer that is not known is not there, whatever the type says.
    const issuer = at.issuerCertificate as DetailedPeerCertificate | undefined;
    if (issuer === undefined || issuer === at) break;
  }
  return chain;
}

/** Tells of certificates that a handshake has taken whether the files that are now in force would take them, too. */
export class Trust {
  private readonly roots: readonly X509Certificate[];
  private readonly revoked: readonly SerialNumber[];

  /** Throws where the files are not what they should be. */
  constructor({ clientCa, crl }: TlsMaterial) {
    this.roots = clientCa === undefined ? [] : certificatesOf(clientCa);
    this.revoked = crl === undefined ? [] : revokedBy(crl);
  }

  holds({ chain }: ClientCertificate): boolean {
    return chain.some((link) => this.isFromRoot(link)) && !chain.some((link) => this.isRevoked(link));
  }

  private isFromRoot(certificate: X509Certificate): boolean {
    return this.roots.some(
      (root) =>
        root.raw.equals(certificate.raw) ||
        (certificate.checkIssued(root) && certificate.verify(root.publicKey)),
    );
  }

  private isRevoked({ raw }: X509Certificate): boolean {
    if (this.revoked.length === 0) return false;
    const { issuer, serial } = serialNumberOf(raw);
    return this.revoked.some((one) => one.serial === serial && one.issuer.equals(issuer));
  }
}

function certificatesOf(pem: Buffer): X509Certificate[] {
  const blocks = pem.toString("latin1").match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g);
  if (blocks === null) throw new Error("no certificate");
  return blocks.map((block) => new X509Certificate(block));
}
