/** Layer drivers. Views and routes as octets for the engine; the layout stands in native/src/dns_config.hpp. */
import type { EngineRoute, EngineView } from "./driver.ts";
import { wireName } from "./name-record.ts";

const NO_VIEW = 255;
const POD_MODES = { disabled: 0, insecure: 1, verified: 2 } as const;
const FLAG_RECURSIVE = 1;
const FLAG_SHUFFLES = 2;

/** Cost follows the number of zones. */
export function encodeConfig(views: readonly EngineView[], routes: readonly EngineRoute[]): Uint8Array {
  const octets: number[] = [views.length];
  const u16 = (value: number): void => void octets.push(value & 255, (value >> 8) & 255);
  const zone = (name: string): void => {
    const wire = Buffer.from(wireName(name) ?? "\0", "latin1");
    octets.push(wire.length, ...wire);
  };
  const zones = (names: readonly string[]): void => {
    octets.push(names.length);
    for (const name of names) zone(name);
  };
  for (const view of views) {
    octets.push(view.id, POD_MODES[view.pods]);
    u16(view.ttlSeconds & 0xffff);
    u16(view.ttlSeconds >>> 16);
    zone(view.primaryZone);
    zones(view.zones);
    zones(view.fallthrough);
  }
  u16(routes.length);
  for (const route of routes) {
    const flags = (route.isRecursive ? FLAG_RECURSIVE : 0) | (route.shuffles ? FLAG_SHUFFLES : 0);
    octets.push(route.listener, route.view ?? NO_VIEW, flags);
    zone(route.zone);
    if (route.view === undefined) continue;
    for (const [found, missing] of route.slots ?? []) {
      u16(found);
      u16(missing);
    }
  }
  return Uint8Array.from(octets);
}
