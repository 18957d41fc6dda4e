/** Layer drivers. The UDP engine: the native one, its interface, and how to open it where it may be missing. */
import type { UdpEngine, UpPacket } from "./driver.ts";
import { NativeUdpEngine } from "./linux.ts";

export * from "./driver.ts";

/** @returns `undefined` when there is no addon, or one without the engine: sockets of Node do its work then */
export function openUdpEngine(
  maxBytes: number,
  onPacket: (packet: UpPacket) => void,
  onForwarding: () => void = () => undefined,
): UdpEngine | undefined {
  try {
    return new NativeUdpEngine(maxBytes, onPacket, onForwarding);
  } catch {
    return undefined;
  }
}
