/**
 * Layer agent. Which kernel settings this node needs, judged from what they are. Pure: says what to write and why.
 * Sources: kube-proxy 1.33, cmd/kube-proxy/app/conntrack.go; Documentation/networking/ip-sysctl.rst for IPv6.
 */
import type { ConntrackSettings } from "../config/agent-settings.ts";

export interface SysctlWish {
  /** Name of the precondition in status and metrics. */
  readonly name: string;
  /** Path below /proc/sys with slashes. */
  readonly path: string;
  readonly value: string;
  readonly why: string;
  /** True when services do not work without it; false for tuning, whose failure is only logged. */
  readonly isNeeded: boolean;
}

export interface SysctlPlanInput {
  readonly read: (path: string) => string | undefined;
  /** Interfaces of this network namespace. */
  readonly interfaces: readonly string[];
  readonly hasIpv6: boolean;
  readonly cpus: number;
  readonly conntrack: ConntrackSettings;
  /** Node ports answer on 127.0.0.0/8; a rule guards what else listens there. */
  readonly localhostNodePorts: boolean;
  /** IPVS mode. */
  readonly ipvs?: { readonly strictARP: boolean; readonly kernelRelease: string };
}

const CONNTRACK = "net/netfilter/nf_conntrack";

/** @returns settings that are not as they should be, in the order in which they are to be written */
export function planSysctls(input: SysctlPlanInput): readonly SysctlWish[] {
  return [...forwarding(input), ...bridges(input), ...loopback(input), ...ipvs(input), ...conntrack(input)];
}

function unless(input: SysctlPlanInput, wish: SysctlWish): readonly SysctlWish[] {
  const current = input.read(wish.path);
  return current === undefined || current === wish.value ? [] : [wish];
}

function forwarding(input: SysctlPlanInput): readonly SysctlWish[] {
  const why = "pods and other hosts reach services through this node";
  const ipv4 = unless(input, {
    name: "ip-forward",
    path: "net/ipv4/ip_forward",
    value: "1",
    why,
    isNeeded: true,
  });
  if (!input.hasIpv6) return ipv4;
  const ipv6 = unless(input, {
    name: "ipv6-forwarding",
    path: "net/ipv6/conf/all/forwarding",
    value: "1",
    why,
    isNeeded: true,
  });
  // A forwarding host ignores router advertisements unless accept_ra is 2: it would lose its default route.
  const keep = ipv6.length === 0 ? [] : input.interfaces.filter((name) => acceptsRouters(input, name));
  const advertisements = keep.map((name) => ({
    name: `accept-ra-${name}`,
    path: `net/ipv6/conf/${name}/accept_ra`,
    value: "2",
    why: `${name} goes on learning routes from router advertisements`,
    isNeeded: false,
  }));
  return [...ipv4, ...advertisements, ...ipv6];
}

function acceptsRouters(input: SysctlPlanInput, name: string): boolean {
  const conf = `net/ipv6/conf/${name}`;
  return name !== "lo" && input.read(`${conf}/accept_ra`) === "1" && input.read(`${conf}/forwarding`) === "0";
}

function bridges(input: SysctlPlanInput): readonly SysctlWish[] {
  const why = "replies between pods on one bridge must pass conntrack";
  const ipv4 = "net/bridge/bridge-nf-call-iptables";
  const ipv6 = "net/bridge/bridge-nf-call-ip6tables";
  return [
    ...unless(input, { name: "bridge-nf-call-iptables", path: ipv4, value: "1", why, isNeeded: true }),
    ...unless(input, {
      name: "bridge-nf-call-ip6tables",
      path: ipv6,
      value: "1",
      why,
      isNeeded: input.hasIpv6,
    }),
  ];
}

function loopback(input: SysctlPlanInput): readonly SysctlWish[] {
  if (!input.localhostNodePorts) return [];
  const path = "net/ipv4/conf/all/route_localnet";
  const why = "iptables.localhostNodePorts: node ports answer on 127.0.0.0/8";
  return unless(input, { name: "route-localnet", path, value: "1", why, isNeeded: false });
}

/** Settings of ip_vs are there once it is loaded. Source: Documentation/networking/ipvs-sysctl.rst. */
function ipvs(input: SysctlPlanInput): readonly SysctlWish[] {
  if (input.ipvs === undefined) return [];
  const { strictARP, kernelRelease } = input.ipvs;
  const wish = (name: string, value: string, why: string, isNeeded: boolean) =>
    unless(input, {
      name: `ipvs-${name.replaceAll("_", "-")}`,
      path: `net/ipv4/vs/${name}`,
      value,
      why,
      isNeeded,
    });
  const arp = (name: string, value: string) =>
    unless(input, {
      name: name.replaceAll("_", "-"),
      path: `net/ipv4/conf/all/${name}`,
      value,
      why: "ipvs.strictARP: no other host learns service addresses from this node",
      isNeeded: false,
    });
  return [
    ...wish("conntrack", "1", "connections through virtual servers can be masqueraded", true),
    ...wish("expire_nodest_conn", "1", "connections to a destination that is gone end at once", false),
    ...wish(
      "expire_quiescent_template",
      "1",
      "session affinity does not stick to a draining endpoint",
      false,
    ),
    // From 5.9 on the kernel's own 1 does what is right; before, it delays reused ports by a second.
    ...(isBefore59(kernelRelease)
      ? wish("conn_reuse_mode", "0", "reused client ports wait otherwise", false)
      : []),
    ...(strictARP ? [...arp("arp_ignore", "1"), ...arp("arp_announce", "2")] : []),
  ];
}

/** True for 4.1 to 5.8: what the setting does there cannot be found out by trying. */
function isBefore59(release: string): boolean {
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(release) ?? [];
  const version = Number(major) * 1000 + Number(minor);
  return version >= 4001 && version < 5009;
}

function conntrack(input: SysctlPlanInput): readonly SysctlWish[] {
  const { read, conntrack: wanted, cpus } = input;
  const wishes: SysctlWish[] = [];
  const tune = (suffix: string, value: number, why: string): void => {
    if (value <= 0) return;
    const path = `${CONNTRACK}_${suffix}`;
    const name = `conntrack-${suffix.replaceAll("_", "-")}`;
    wishes.push(...unless(input, { name, path, value: String(value), why, isNeeded: false }));
  };
  const most = wanted.maxPerCore === 0 ? 0 : Math.max(wanted.maxPerCore * cpus, wanted.min);
  if (Number(read(`${CONNTRACK}_max`) ?? 0) < most)
    tune("max", most, "conntrack.maxPerCore and conntrack.min");
  tune("tcp_timeout_established", wanted.tcpEstablishedTimeoutSeconds, "conntrack.tcpEstablishedTimeout");
  tune("tcp_timeout_close_wait", wanted.tcpCloseWaitTimeoutSeconds, "conntrack.tcpCloseWaitTimeout");
  tune("udp_timeout", wanted.udpTimeoutSeconds, "conntrack.udpTimeout");
  tune("udp_timeout_stream", wanted.udpStreamTimeoutSeconds, "conntrack.udpStreamTimeout");
  tune("tcp_be_liberal", wanted.tcpBeLiberal ? 1 : 0, "conntrack.tcpBeLiberal");
  return wishes;
}
