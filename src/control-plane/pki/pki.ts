/**
 * Layer control-plane. The control plane's own certificate authority and what it issues: the server's certificate, the
 * administrator's kubeconfig, certificates of nodes. Everything lies under the data directory, keys readable by their
 * owner alone, and is made on first start. The caller runs {@link Pki.renew} now and then.
 */
import { join } from "node:path";
import { NodeplaneError } from "../../model/errors.ts";
import {
  type CertificateRequest,
  createAuthority,
  isPair,
  issueCertificate,
  type KeyPair,
  readCertificate,
  type Subject,
} from "./certificate.ts";
import { formatKubeconfig } from "./kubeconfig.ts";
import { readIfThere, writeWhole } from "./secret-file.ts";

const DAY_MS = 86_400_000;
const AUTHORITY_DAYS = 3650;
const LEAF_DAYS = 365;
/** Certificates are renewed when less than this is left. */
const RENEW_LEAF_MS = 60 * DAY_MS;
const RENEW_AUTHORITY_MS = 400 * DAY_MS;
const ADMIN: Subject = { commonName: "admin", organizations: ["system:masters"] };

export interface PkiOptions {
  readonly dataDir: string;
  /** Names that the server's certificate holds. */
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
  /** URL in the administrator's kubeconfig. */
  readonly serverUrl: string;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
}

/** Names that every control plane of the cluster domain answers to. */
export function serverNames(clusterDomain: string): readonly string[] {
  return [
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    `kubernetes.default.svc.${clusterDomain}`,
  ];
}

/** Names as a node's certificate has them. */
export function nodeSubject(nodeName: string): Subject {
  return { commonName: `system:node:${nodeName}`, organizations: ["system:nodes"] };
}

/** Where a data directory keeps its files. */
function paths(dataDir: string): Readonly<Record<"authority" | "server" | "admin" | "kubeconfig", string>> {
  return {
    authority: join(dataDir, "pki", "ca"),
    server: join(dataDir, "pki", "server"),
    admin: join(dataDir, "pki", "admin"),
    kubeconfig: join(dataDir, "admin.kubeconfig"),
  };
}

export class Pki {
  readonly #options: PkiOptions;
  readonly #now: () => number;
  #authority: KeyPair;
  #server: KeyPair;

  private constructor(options: PkiOptions, authority: KeyPair, server: KeyPair) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#authority = authority;
    this.#server = server;
  }

  /** Loads what is there and makes what is missing, about to end, or for other names. @throws {NodeplaneError} FILE_UNREADABLE */
  static async open(options: PkiOptions): Promise<Pki> {
    const now = options.now ?? Date.now;
    const authority = await ensureAuthority(paths(options.dataDir).authority, now());
    const server = await ensureServer(options, authority, now());
    await ensureAdmin(options, authority, now());
    return new Pki(options, authority, server);
  }

  get authorityPem(): string {
    return this.#authority.certificatePem;
  }

  /** For the HTTPS server and the node stream. */
  get server(): KeyPair {
    return this.#server;
  }

  get kubeconfigPath(): string {
    return paths(this.#options.dataDir).kubeconfig;
  }

  /** Renews what is near its end. @returns true when the server's certificate or the authority's changed: load them anew */
  async renew(): Promise<boolean> {
    const authority = await ensureAuthority(paths(this.#options.dataDir).authority, this.#now());
    const server = await ensureServer(this.#options, authority, this.#now());
    await ensureAdmin(this.#options, authority, this.#now());
    const isChanged =
      server.certificatePem !== this.#server.certificatePem ||
      authority.certificatePem !== this.#authority.certificatePem;
    this.#authority = authority;
    this.#server = server;
    return isChanged;
  }
}

/** A node's certificate from the authority of a data directory. @throws {NodeplaneError} when there is no authority yet */
export async function issueNodeCertificate(
  dataDir: string,
  nodeName: string,
  options: { readonly days?: number; readonly nowMs?: number } = {},
): Promise<{ readonly authorityPem: string; readonly node: KeyPair }> {
  const base = paths(dataDir).authority;
  const authority = await load(base);
  if (authority === undefined)
    throw new NodeplaneError("FILE_UNREADABLE", {
      path: `${base}.crt`,
      detail:
        "there is no certificate authority yet; start 'nodeplane control-plane' with this data directory first",
    });
  const node = await issueCertificate(authority, {
    subject: nodeSubject(nodeName),
    usage: "client",
    dnsNames: [],
    ipAddresses: [],
    days: options.days ?? LEAF_DAYS,
    nowMs: options.nowMs ?? Date.now(),
  });
  return { authorityPem: authority.certificatePem, node };
}

async function load(base: string): Promise<KeyPair | undefined> {
  const [certificatePem, keyPem] = [await readIfThere(`${base}.crt`), await readIfThere(`${base}.key`)];
  if (certificatePem === undefined || keyPem === undefined) return undefined;
  const pair = { certificatePem, keyPem };
  return isPair(pair) ? pair : undefined;
}

/** The key first: a certificate without its key is never seen; a pair that does not match is made anew. */
async function save(base: string, pair: KeyPair): Promise<KeyPair> {
  await writeWhole(`${base}.key`, pair.keyPem);
  await writeWhole(`${base}.crt`, pair.certificatePem, 0o644);
  return pair;
}

/** The authority keeps its key when its certificate is renewed, so that certificates issued before stay valid. */
async function ensureAuthority(base: string, nowMs: number): Promise<KeyPair> {
  const pair = await load(base);
  const facts = pair === undefined ? undefined : readCertificate(pair.certificatePem);
  if (pair !== undefined && facts !== undefined && facts.notAfterMs - nowMs > RENEW_AUTHORITY_MS) return pair;
  const keyPem = await readIfThere(`${base}.key`);
  if (keyPem === undefined && (await readIfThere(`${base}.crt`)) !== undefined)
    throw new NodeplaneError("FILE_UNREADABLE", {
      path: `${base}.key`,
      detail:
        "the authority's key is missing; put it back, or remove the certificate beside it to start anew",
    });
  const renewed = { commonName: "nodeplane-ca", days: AUTHORITY_DAYS, nowMs };
  try {
    return await save(base, await createAuthority(keyPem === undefined ? renewed : { ...renewed, keyPem }));
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    throw new NodeplaneError("FILE_UNREADABLE", { path: `${base}.key`, detail }, error);
  }
}

async function ensureServer(options: PkiOptions, authority: KeyPair, nowMs: number): Promise<KeyPair> {
  return await ensureLeaf(paths(options.dataDir).server, authority, {
    subject: { commonName: "nodeplane-control-plane", organizations: [] },
    usage: "server",
    dnsNames: [...new Set(options.dnsNames)],
    ipAddresses: [...new Set(options.ipAddresses)],
    days: LEAF_DAYS,
    nowMs,
  });
}

async function ensureAdmin(options: PkiOptions, authority: KeyPair, nowMs: number): Promise<void> {
  const place = paths(options.dataDir);
  const request = {
    subject: ADMIN,
    usage: "client" as const,
    dnsNames: [],
    ipAddresses: [],
    days: LEAF_DAYS,
    nowMs,
  };
  const admin = await ensureLeaf(place.admin, authority, request);
  const text = formatKubeconfig(options.serverUrl, authority.certificatePem, admin);
  if ((await readIfThere(place.kubeconfig)) !== text) await writeWhole(place.kubeconfig, text);
}

/** The pair on disk when it is still good for the request, else a new one. */
async function ensureLeaf(base: string, authority: KeyPair, request: CertificateRequest): Promise<KeyPair> {
  const pair = await load(base);
  const facts = pair === undefined ? undefined : readCertificate(pair.certificatePem);
  if (pair !== undefined && facts !== undefined) {
    const names = [...request.dnsNames, ...request.ipAddresses].sort();
    const isSame =
      names.length === facts.names.length && names.every((name, index) => name === facts.names[index]);
    const isFresh = facts.notAfterMs - request.nowMs > RENEW_LEAF_MS;
    if (isSame && isFresh && (await facts.isSignedBy(authority.certificatePem))) return pair;
  }
  return await save(base, await issueCertificate(authority, request));
}
