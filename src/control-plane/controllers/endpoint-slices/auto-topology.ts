/**
 * Layer control-plane. `service.kubernetes.io/topology-mode: Auto`: puts zone hints on a Service's endpoints, in proportion to the
 * zones' processors, or takes all hints away and says why in an Event.
 */
import type { IpAddress } from "../../../model/ip.ts";
import type { ApiObject } from "../../registry/json.ts";
import type { EventRecorder } from "../events/recorder.ts";
import { type Informer, keyOf } from "../framework/informer.ts";
import type { EndpointGroup, SliceEndpoint } from "./desired.ts";
import { zoneHints } from "./zone-hints.ts";
import { shareFacts, type ZoneShares, zoneShares } from "./zone-shares.ts";

const MODE_ANNOTATION = "service.kubernetes.io/topology-mode";
/** Its name before Kubernetes 1.27. */
const OLD_ANNOTATION = "service.kubernetes.io/topology-aware-hints";
const AUTO_SERVICES = "services with topology-mode Auto";
const COMPONENT = "endpoint-slice-controller";
type AddressType = EndpointGroup["addressType"];

function isAuto(service: ApiObject): boolean {
  const { annotations } = service.metadata;
  const mode = annotations?.[OLD_ANNOTATION] ?? annotations?.[MODE_ANNOTATION] ?? "";
  return mode === "Auto" || mode === "auto";
}

function withHints(endpoint: SliceEndpoint, zone: string | undefined): SliceEndpoint {
  const { hints: _, ...plain } = endpoint;
  return zone === undefined ? plain : { ...plain, hints: { forZones: [{ name: zone }] } };
}

export class AutoTopology {
  readonly #services: Informer;
  readonly #nodes: Informer;
  readonly #events: EventRecorder;
  #shares: ZoneShares | undefined;
  /** By `service family`: why there are no hints, "" while there are. */
  readonly #said = new Map<string, string>();

  constructor(services: Informer, nodes: Informer, events: EventRecorder) {
    this.#services = services;
    this.#nodes = nodes;
    this.#events = events;
    services.addIndex(AUTO_SERVICES, (service) => (isAuto(service) ? [""] : []));
  }

  /** A node changed. @returns keys of the Services whose hints may change with it */
  nodeChanged(now: ApiObject | undefined, old: ApiObject | undefined): readonly string[] {
    const facts = (node: ApiObject | undefined): string => (node === undefined ? "" : shareFacts(node));
    if (facts(now) === facts(old)) return [];
    this.#shares = undefined;
    return this.#services.byIndex(AUTO_SERVICES, "").map(keyOf);
  }

  /** `groups` with the hints that this mode gives, where the Service has it; else as they are. */
  apply(service: ApiObject, groups: ReadonlyMap<string, EndpointGroup>): ReadonlyMap<string, EndpointGroup> {
    const key = keyOf(service);
    if (!isAuto(service)) {
      this.forget(key);
      return groups;
    }
    const zones = new Map<AddressType, ReadonlyMap<string, string>>();
    for (const family of new Set([...groups.values()].map(({ addressType }) => addressType)))
      zones.set(family, this.#zonesOf(service, family, groups));
    return new Map(
      [...groups].map(([name, group]) => {
        const endpoints = new Map<IpAddress, SliceEndpoint>();
        for (const [address, endpoint] of group.endpoints)
          endpoints.set(address, withHints(endpoint, zones.get(group.addressType)?.get(address)));
        return [name, { ...group, endpoints }] as const;
      }),
    );
  }

  /** The Service is gone, or has another mode. */
  forget(key: string): void {
    for (const family of ["IPv4", "IPv6"]) this.#said.delete(`${key} ${family}`);
  }

  #zonesOf(
    service: ApiObject,
    family: AddressType,
    groups: ReadonlyMap<string, EndpointGroup>,
  ): ReadonlyMap<string, string> {
    this.#shares ??= zoneShares(this.#nodes.all());
    const ready = [...groups.values()]
      .filter(({ addressType }) => addressType === family)
      .flatMap(({ endpoints }) => [...endpoints])
      .filter(([, { conditions }]) => conditions.ready)
      .map(([address, { zone = "" }]) => ({ address, zone }));
    const hints = zoneHints(ready, this.#shares);
    this.#tell(service, family, hints.kind === "none" ? hints.reason : "");
    return hints.kind === "none" ? new Map() : hints.zones;
  }

  /** An Event when hints begin, end, or are missing for another reason. */
  #tell(service: ApiObject, family: AddressType, reason: string): void {
    const said = `${keyOf(service)} ${family}`;
    if (this.#said.get(said) === reason) return;
    this.#said.set(said, reason);
    const { namespace = "", name = "", uid } = service.metadata;
    const isOn = reason === "";
    this.#events.record({
      about: { apiVersion: "v1", kind: "Service", namespace, name, ...(uid === undefined ? {} : { uid }) },
      type: isOn ? "Normal" : "Warning",
      reason: isOn ? "TopologyAwareHintsEnabled" : "TopologyAwareHintsDisabled",
      message: `${isOn ? "endpoints have zone hints" : `endpoints have no zone hints: ${reason}`}, addressType: ${family}`,
      component: COMPONENT,
    });
  }
}
