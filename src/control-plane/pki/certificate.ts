/**
 * Layer control-plane. Makes X.509 certificates with ECDSA P-256 keys, and reads what is needed to decide whether one
 * must be renewed. Does no file I/O. Source: RFC 5280; node names as Kubernetes has them (system:node:NAME).
 */
import "reflect-metadata";
import { createPrivateKey, X509Certificate as NodeCertificate, randomBytes, webcrypto } from "node:crypto";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from "@peculiar/x509";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const DAY_MS = 86_400_000;
/** Clocks of nodes may be behind. */
const BACKDATE_MS = 3_600_000;

/** A certificate and its private key, both PEM. */
export interface KeyPair {
  readonly certificatePem: string;
  readonly keyPem: string;
}

export interface Subject {
  readonly commonName: string;
  readonly organizations: readonly string[];
}

export interface CertificateRequest {
  readonly subject: Subject;
  readonly usage: "server" | "client";
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
  readonly days: number;
  readonly nowMs: number;
}

/** A new authority, or with `keyPem` a new certificate for an old authority's key. */
export async function createAuthority(options: {
  readonly commonName: string;
  readonly days: number;
  readonly nowMs: number;
  readonly keyPem?: string;
}): Promise<KeyPair> {
  const keys = options.keyPem === undefined ? await newKeys() : await importKeys(options.keyPem);
  const certificate = await X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: serial(),
      name: [{ CN: [options.commonName] }],
      ...validity(options.nowMs, options.days),
      signingAlgorithm: ALGORITHM,
      keys,
      extensions: [
        new BasicConstraintsExtension(true, undefined, true),
        new KeyUsagesExtension(
          KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign | KeyUsageFlags.digitalSignature,
          true,
        ),
        await SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    },
    webcrypto,
  );
  return { certificatePem: pem(certificate), keyPem: options.keyPem ?? (await exportKey(keys.privateKey)) };
}

/** A certificate with a new key, signed by `authority`. */
export async function issueCertificate(authority: KeyPair, request: CertificateRequest): Promise<KeyPair> {
  const issuer = new X509Certificate(authority.certificatePem);
  const signing = await importKeys(authority.keyPem);
  const keys = await newKeys();
  const { commonName, organizations } = request.subject;
  const names = [
    ...request.dnsNames.map((value) => ({ type: "dns" as const, value })),
    ...request.ipAddresses.map((value) => ({ type: "ip" as const, value })),
  ];
  const usage = request.usage === "server" ? ExtendedKeyUsage.serverAuth : ExtendedKeyUsage.clientAuth;
  const certificate = await X509CertificateGenerator.create(
    {
      serialNumber: serial(),
      subject: [...organizations.map((name) => ({ O: [name] })), { CN: [commonName] }],
      issuer: issuer.subject,
      ...validity(request.nowMs, request.days),
      signingAlgorithm: ALGORITHM,
      publicKey: keys.publicKey,
      signingKey: signing.privateKey,
      extensions: [
        new BasicConstraintsExtension(false, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        new ExtendedKeyUsageExtension([usage]),
        await AuthorityKeyIdentifierExtension.create(signing.publicKey),
        ...(names.length === 0 ? [] : [new SubjectAlternativeNameExtension(names)]),
      ],
    },
    webcrypto,
  );
  return { certificatePem: pem(certificate), keyPem: await exportKey(keys.privateKey) };
}

/** What decides about renewal. */
export interface CertificateFacts {
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** DNS names and addresses, sorted; addresses in canonical text. */
  readonly names: readonly string[];
  /** True when `authorityPem` signed it. */
  readonly isSignedBy: (authorityPem: string) => Promise<boolean>;
}

/** @returns `undefined` for text that is no certificate */
export function readCertificate(certificatePem: string): CertificateFacts | undefined {
  try {
    const certificate = new X509Certificate(certificatePem);
    const names = certificate.getExtension(SubjectAlternativeNameExtension)?.names.items ?? [];
    return {
      notBeforeMs: certificate.notBefore.getTime(),
      notAfterMs: certificate.notAfter.getTime(),
      names: names.map((name) => name.value).sort(),
      isSignedBy: async (authorityPem) => {
        const publicKey = await new X509Certificate(authorityPem).publicKey.export(webcrypto);
        return await certificate.verify({ publicKey, signatureOnly: true }, webcrypto);
      },
    };
  } catch {
    return undefined;
  }
}

/** True when certificate and key belong together: a crash between writing the two leaves an old and a new one. */
export function isPair(pair: KeyPair): boolean {
  try {
    return new NodeCertificate(pair.certificatePem).checkPrivateKey(createPrivateKey(pair.keyPem));
  } catch {
    return false;
  }
}

function validity(nowMs: number, days: number): { readonly notBefore: Date; readonly notAfter: Date } {
  return { notBefore: new Date(nowMs - BACKDATE_MS), notAfter: new Date(nowMs + days * DAY_MS) };
}

/** Positive, 127 bits of randomness (RFC 5280, 4.1.2.2). */
function serial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString("hex");
}

function pem(certificate: X509Certificate): string {
  return `${certificate.toString("pem")}\n`;
}

async function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  return `${PemConverter.encode(await webcrypto.subtle.exportKey("pkcs8", key), "PRIVATE KEY")}\n`;
}

async function importKeys(keyPem: string): Promise<webcrypto.CryptoKeyPair> {
  const { subtle } = webcrypto;
  const der = PemConverter.decodeFirst(keyPem);
  const privateKey = await subtle.importKey("pkcs8", der, ALGORITHM, true, ["sign"]);
  const { kty, crv, x, y } = await subtle.exportKey("jwk", privateKey);
  if (kty === undefined || crv === undefined || x === undefined || y === undefined)
    throw new TypeError("not an EC key");
  const publicKey = await subtle.importKey("jwk", { kty, crv, x, y }, ALGORITHM, true, ["verify"]);
  return { privateKey, publicKey };
}
