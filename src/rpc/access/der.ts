/** As much of DER as certificates and revocation lists need to be compared. Source: ITU-T X.690, RFC 5280. */

const SEQUENCE = 0x30;
const INTEGER = 0x02;
const EXPLICIT_0 = 0xa0;

interface Element {
  readonly tag: number;
  /** With tag and length. */
  readonly whole: Buffer;
  readonly content: Buffer;
}

/** Whom a certificate is from, and its number there: what a revocation list names it by. */
export interface SerialNumber {
  /** The encoded name of the issuer. */
  readonly issuer: Buffer;
  readonly serial: string;
}

/** Throws where the bytes are no certificate. */
export function serialNumberOf(certificate: Buffer): SerialNumber {
  const [tbs] = childrenOf(elementAt(certificate, 0));
  const fields = childrenOf(tbs);
  if (fields[0]?.tag === EXPLICIT_0) fields.shift();
  const [serial, , issuer] = fields;
  if (serial?.tag !== INTEGER || issuer?.tag !== SEQUENCE) throw new Error("no certificate");
  return { issuer: issuer.whole, serial: serial.content.toString("hex") };
}

/** The certificates that a list in PEM revokes. Throws where it holds no list. */
export function revokedBy(crlPem: Buffer): SerialNumber[] {
  const blocks = [...crlPem.toString("latin1").matchAll(/-----BEGIN X509 CRL-----([^-]*)-----END/g)];
  if (blocks.length === 0) throw new Error("no revocation list");
  return blocks.flatMap(([, base64 = ""]) => revokedByOne(Buffer.from(base64, "base64")));
}

function revokedByOne(crl: Buffer): SerialNumber[] {
  const [tbs] = childrenOf(elementAt(crl, 0));
  const fields = childrenOf(tbs);
  if (fields[0]?.tag === INTEGER) fields.shift();
  const issuer = fields[1];
  if (issuer?.tag !== SEQUENCE) throw new Error("no revocation list");
  // After the issuer come one or two times, then the only other sequence.
  const entries = fields.slice(2).find(({ tag }) => tag === SEQUENCE);
  return childrenOf(entries).map((entry) => {
    const [serial] = childrenOf(entry);
    return { issuer: issuer.whole, serial: serial?.content.toString("hex") ?? "" };
  });
}

function childrenOf(parent: Element | undefined): Element[] {
  const children: Element[] = [];
  if (parent === undefined) return children;
  for (let at = 0; at < parent.content.length;) {
    const child = elementAt(parent.content, at);
    children.push(child);
    at += child.whole.length;
  }
  return children;
}

function elementAt(bytes: Buffer, at: number): Element {
  const tag = bytes[at];
  const first = bytes[at + 1];
  if (tag === undefined || first === undefined) throw new Error("cut off");
  const lengthBytes = first < 0x80 ? 0 : first - 0x80;
  if (lengthBytes > 4) throw new Error("too long");
  const length = lengthBytes === 0 ? first : bytes.readUIntBE(at + 2, lengthBytes);
  const start = at + 2 + lengthBytes;
  if (start + length > bytes.length) throw new Error("cut off");
  return { tag, whole: bytes.subarray(at, start + length), content: bytes.subarray(start, start + length) };
}
