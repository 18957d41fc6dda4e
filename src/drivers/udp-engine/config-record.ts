/**
 * Layer drivers. Views, routes and groups as octets for the engine; the layout stands in native/src/dns_config.hpp and
 * native/src/dns_forward_plan.hpp.
 */
import { ipFamily, ipToBytes } from "../../model/ip.ts";
import type { EngineGroup, EngineRoute, EngineView } from "./driver.ts";
import { wireName } from "./name-record.ts";

const NO_VIEW = 255;
const POD_MODES = { disabled: 0, insecure: 1, verified: 2 } as const;
const FLAG_RECURSIVE = 1;
const FLAG_SHUFFLES = 2;
const FLAG_FORWARDS = 4;
const GROUP_FLAG_THROUGH_CHAIN = 1;
const POLICIES = { random: 0, round_robin: 1, sequential: 2 } as const;

/** Cost follows the number of zones. */
export function encodeConfig(
  views: readonly EngineView[],
  routes: readonly EngineRoute[],
  groups: readonly EngineGroup[],
): Uint8Array {
  const record = new RecordWriter();
  record.u8(views.length);
  for (const view of views) writeView(record, view);
  record.u16(routes.length);
  for (const route of routes) writeRoute(record, route);
  record.u8(groups.length);
  for (const group of groups) writeGroup(record, group);
  return Uint8Array.from(record.octets);
}

class RecordWriter {
  readonly octets: number[] = [];

  u8(value: number): void {
    this.octets.push(value & 255);
  }

  u16(value: number): void {
    this.octets.push(value & 255, (value >> 8) & 255);
  }

  u32(value: number): void {
    this.u16(value & 0xffff);
    this.u16(value >>> 16);
  }

  zone(name: string): void {
    const wire = Buffer.from(wireName(name) ?? "\0", "latin1");
    this.octets.push(wire.length, ...wire);
  }

  slots(all: readonly (readonly number[])[]): void {
    for (const slots of all) for (const slot of slots) this.u16(slot);
  }
}

function writeView(record: RecordWriter, view: EngineView): void {
  record.u8(view.id);
  record.u8(POD_MODES[view.pods]);
  record.u32(view.ttlSeconds);
  record.zone(view.primaryZone);
  for (const zones of [view.zones, view.fallthrough]) {
    record.u8(zones.length);
    for (const zone of zones) record.zone(zone);
  }
}

function writeRoute(record: RecordWriter, route: EngineRoute): void {
  record.u8(route.listener);
  record.u8(route.view ?? NO_VIEW);
  record.u8(
    (route.isRecursive ? FLAG_RECURSIVE : 0) |
      (route.shuffles ? FLAG_SHUFFLES : 0) |
      (route.forward === undefined ? 0 : FLAG_FORWARDS),
  );
  record.zone(route.zone);
  if (route.view !== undefined) record.slots(route.slots ?? []);
  if (route.forward === undefined) return;
  record.u8(route.forward.group);
  record.slots(route.forward.slots);
}

function writeGroup(record: RecordWriter, group: EngineGroup): void {
  record.u32(group.token);
  record.u8(group.isThroughChain ? GROUP_FLAG_THROUGH_CHAIN : 0);
  record.u8(POLICIES[group.policy]);
  record.u16(group.timeoutMs);
  record.u16(group.maxAttempts);
  record.u32(group.maxConcurrent);
  record.u32(group.lifeMs);
  for (const zones of [group.zones, group.left]) {
    record.u16(zones.length);
    for (const zone of zones) record.zone(zone);
  }
  record.u8(group.upstreams.length);
  for (const { counter, address, port, source } of group.upstreams) {
    record.u8(counter);
    record.u8(ipFamily(address) === "ip" ? 4 : 6);
    record.u16(port);
    record.octets.push(...ipToBytes(address));
    record.u8(source === undefined ? 0 : 1);
    if (source !== undefined) record.octets.push(...ipToBytes(source));
  }
}
