/** Layer control-plane. Credentials of the gRPC server whose certificate can be renewed while it runs. mTLS, TLS 1.3. */
import type { SecureContextOptions } from "node:tls";
import { ServerCredentials } from "@grpc/grpc-js";

export interface ServerKeys {
  readonly authorityPem: string;
  readonly certificatePem: string;
  readonly keyPem: string;
}

export class RenewableCredentials extends ServerCredentials {
  constructor(keys: ServerKeys) {
    super({ requestCert: true, rejectUnauthorized: true, minVersion: "TLSv1.3" }, contextOf(keys));
  }

  renew(keys: ServerKeys): void {
    this.updateSecureContextOptions(contextOf(keys));
  }

  override _equals(other: ServerCredentials): boolean {
    return this === other;
  }
}

function contextOf(keys: ServerKeys): SecureContextOptions {
  return { ca: keys.authorityPem, cert: keys.certificatePem, key: keys.keyPem, minVersion: "TLSv1.3" };
}
