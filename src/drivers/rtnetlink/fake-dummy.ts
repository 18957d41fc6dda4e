/** Layer drivers. A dummy device in memory: refuses what the kernel refuses. Tests say which addresses cannot be added. */
import type { AddressChange } from "../../codec/netlink/route/device.ts";
import { NodeplaneError } from "../../model/errors.ts";
import type { IpAddress } from "../../model/ip.ts";
import type { AddressFailure, DummyDriver } from "./dummy.ts";

const EACCES = 13;

export class FakeDummy implements DummyDriver {
  readonly name: string;
  /** Addresses that the kernel would refuse. */
  readonly refused = new Set<IpAddress>();
  /** Changes sent, in order. */
  readonly sent: AddressChange[] = [];
  #addresses: Set<IpAddress> | undefined;

  constructor(name: string) {
    this.name = name;
  }

  read(): readonly IpAddress[] | undefined {
    return this.#addresses && [...this.#addresses];
  }

  create(): void {
    this.#addresses ??= new Set();
  }

  commit(changes: readonly AddressChange[]): Promise<readonly AddressFailure[]> {
    if (changes.length === 0) return Promise.resolve([]);
    const addresses = this.#addresses;
    if (addresses === undefined)
      return Promise.reject(
        new NodeplaneError("NETLINK_FAILED", { path: this.name, detail: "the device is gone" }),
      );
    const failures: AddressFailure[] = [];
    changes.forEach((change, index) => {
      this.sent.push(change);
      if (change.op === "remove") addresses.delete(change.address);
      else if (this.refused.has(change.address)) failures.push({ index, errno: EACCES, code: "EACCES" });
      else addresses.add(change.address);
    });
    return Promise.resolve(failures);
  }

  remove(): boolean {
    const had = this.#addresses !== undefined;
    this.#addresses = undefined;
    return had;
  }

  close(): void {}
}
