/**
 * Layer control-plane. Who is asking: the subject of a client certificate signed by the cluster's authority (CN is the
 * user, each O a group). Without a certificate: anonymous. A certificate of another authority is refused.
 */
import type { TLSSocket } from "node:tls";

export interface User {
  readonly name: string;
  readonly groups: readonly string[];
}

export const ANONYMOUS: User = { name: "system:anonymous", groups: ["system:unauthenticated"] };

const known = new WeakMap<TLSSocket, User | undefined>();

/** @returns `undefined` for a certificate that does not count: 401 */
export function authenticate(socket: TLSSocket): User | undefined {
  if (known.has(socket)) return known.get(socket);
  const user = readUser(socket);
  known.set(socket, user);
  return user;
}

function readUser(socket: TLSSocket): User | undefined {
  const certificate = socket.getPeerCertificate();
  // Node gives an empty object when there is none, and after a resumed session of an anonymous client.
  if (certificate === null || Object.keys(certificate).length === 0) return ANONYMOUS;
  if (!socket.authorized) return undefined;
  const { CN, O } = certificate.subject as { CN?: string | string[]; O?: string | string[] };
  const name = typeof CN === "string" ? CN : CN?.[0];
  if (name === undefined || name === "") return undefined;
  const groups = O === undefined ? [] : typeof O === "string" ? [O] : O;
  return { name, groups: [...groups, "system:authenticated"] };
}
