/**
 * Layer drivers. One dummy device and its addresses: what IPVS mode writes through rtnetlink. Implementations: `LinuxDummy`
 * and `FakeDummy`, under test/kernel/dummy-conformance.test.ts. Knows nothing of Services.
 */
import type { AddressChange } from "../../codec/netlink/route/device.ts";
import type { IpAddress } from "../../model/ip.ts";

export interface AddressFailure {
  /** Index into the changes given. */
  readonly index: number;
  /** Positive errno and its name. */
  readonly errno: number;
  readonly code: string;
}

export interface DummyDriver {
  /** Name of the device. */
  readonly name: string;
  /**
   * Its addresses, of both families, or `undefined` when there is no such device.
   * @throws {NodeplaneError} NETLINK_FAILED, also when a device of another kind has the name
   */
  read(): readonly IpAddress[] | undefined;
  /** Makes the device, which stays down: addresses answer all the same. @throws {NodeplaneError} IPVS_UNSUPPORTED, NETLINK_FAILED */
  create(): void;
  /**
   * Sends all changes, many in one datagram, and waits for each answer. An address that is there already, or is gone, is no
   * failure. @throws {NodeplaneError} NETLINK_FAILED, also when there is no device
   */
  commit(changes: readonly AddressChange[]): Promise<readonly AddressFailure[]>;
  /** Removes the device with its addresses. @returns whether there was one @throws as {@link read} */
  remove(): boolean;
  close(): void;
}
