/** A certificate authority of a test's, by openssl, and what it has issued and revoked. */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

export interface Issued {
  readonly certFile: string;
  readonly keyFile: string;
  readonly cert: Buffer;
  readonly key: Buffer;
}

export interface Wanted {
  /** "DNS:a,URI:b"; default: none. */
  readonly san?: string;
  /** Times as openssl takes them, "20200101000000Z"; default: a day from now on. */
  readonly notBefore?: string;
  readonly notAfter?: string;
  readonly usage?: "clientAuth" | "serverAuth";
}

const CONFIG = `
[ca]
default_ca = own
[own]
database = index.txt
serial = serial
crlnumber = crlnumber
new_certs_dir = .
certificate = ca.pem
private_key = ca.key
default_md = sha256
default_days = 1
default_crl_days = 1
policy = any
unique_subject = no
copy_extensions = copy
[any]
commonName = supplied
`;

export class Authority {
  private issued = 0;

  private constructor(readonly directory: string) {}

  /** @param directory to be made */
  static async make(directory: string, name = "Test CA"): Promise<Authority> {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    writeFileSync(join(directory, "ca.cnf"), CONFIG);
    writeFileSync(join(directory, "index.txt"), "");
    writeFileSync(join(directory, "serial"), "1000\n");
    writeFileSync(join(directory, "crlnumber"), "01\n");
    const made = new Authority(directory);
    await made.openssl(
      ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", "1"],
      ["-subj", `/CN=${name}`, "-keyout", "ca.key", "-out", "ca.pem"],
    );
    return made;
  }

  get caFile(): string {
    return join(this.directory, "ca.pem");
  }

  get ca(): Buffer {
    return readFileSync(this.caFile);
  }

  get crlFile(): string {
    return join(this.directory, "crl.pem");
  }

  async issue(commonName: string, { san, notBefore, notAfter, usage }: Wanted = {}): Promise<Issued> {
    const name = `${this.issued++}`;
    const extensions = [
      ...(san === undefined ? [] : ["-addext", `subjectAltName=${san}`]),
      ...(usage === undefined ? [] : ["-addext", `extendedKeyUsage=${usage}`]),
    ];
    await this.openssl(
      ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", ...extensions],
      ["-subj", `/CN=${commonName}`, "-keyout", `${name}.key`, "-out", `${name}.csr`],
    );
    const dates = [
      ...(notBefore === undefined ? [] : ["-startdate", notBefore]),
      ...(notAfter === undefined ? [] : ["-enddate", notAfter]),
    ];
    await this.openssl(
      ["ca", "-batch", "-config", "ca.cnf", "-notext", ...dates],
      ["-in", `${name}.csr`, "-out", `${name}.pem`],
    );
    const certFile = join(this.directory, `${name}.pem`);
    const keyFile = join(this.directory, `${name}.key`);
    return { certFile, keyFile, cert: readFileSync(certFile), key: readFileSync(keyFile) };
  }

  /** Writes the list of those that are revoked, these among them. */
  async revoke(...revoked: readonly Issued[]): Promise<void> {
    for (const { certFile } of revoked) await this.openssl(["ca", "-config", "ca.cnf", "-revoke", certFile]);
    await this.openssl(["ca", "-config", "ca.cnf", "-gencrl", "-out", "crl.pem"]);
  }

  private async openssl(...args: readonly (readonly string[])[]): Promise<void> {
    await run("openssl", args.flat(), { cwd: this.directory });
  }
}

/** As the configuration has tokens. */
export function sha256(token: string): string {
  return createHash("sha256").update(token).digest("hex");
}
