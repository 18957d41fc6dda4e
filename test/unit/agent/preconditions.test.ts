/** Kernel settings and firewalls: what is wanted of which state. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ConntrackSettings } from "../../../src/agent/config/agent-settings.ts";
import { forwardDrops, readForwardPolicy } from "../../../src/agent/preconditions/forward-policy.ts";
import { planSysctls } from "../../../src/agent/preconditions/sysctl-plan.ts";

const LEAVE: ConntrackSettings = {
  maxPerCore: 0,
  min: 0,
  tcpEstablishedTimeoutSeconds: 0,
  tcpCloseWaitTimeoutSeconds: 0,
  tcpBeLiberal: false,
  udpTimeoutSeconds: 0,
  udpStreamTimeoutSeconds: 0,
};

const rows: readonly {
  name: string;
  sysctls: Readonly<Record<string, string>>;
  conntrack?: Partial<ConntrackSettings>;
  hasIpv6?: boolean;
  localhostNodePorts?: boolean;
  want: readonly string[];
}[] = [
  { name: "nothing to do", sysctls: { "net/ipv4/ip_forward": "1" }, want: [] },
  { name: "IPv4 forwarding", sysctls: { "net/ipv4/ip_forward": "0" }, want: ["net/ipv4/ip_forward=1"] },
  {
    name: "IPv6 forwarding keeps router advertisements, set first",
    sysctls: {
      "net/ipv6/conf/all/forwarding": "0",
      "net/ipv6/conf/eth0/accept_ra": "1",
      "net/ipv6/conf/eth0/forwarding": "0",
      "net/ipv6/conf/lo/accept_ra": "1",
      "net/ipv6/conf/lo/forwarding": "0",
    },
    want: ["net/ipv6/conf/eth0/accept_ra=2", "net/ipv6/conf/all/forwarding=1"],
  },
  {
    name: "IPv6 is left alone where it is not programmed",
    hasIpv6: false,
    sysctls: { "net/ipv6/conf/all/forwarding": "0" },
    want: [],
  },
  {
    name: "bridges, where br_netfilter is loaded",
    sysctls: { "net/bridge/bridge-nf-call-iptables": "0", "net/bridge/bridge-nf-call-ip6tables": "1" },
    want: ["net/bridge/bridge-nf-call-iptables=1"],
  },
  {
    name: "conntrack table is raised to the larger of the two",
    sysctls: { "net/netfilter/nf_conntrack_max": "1000" },
    conntrack: { maxPerCore: 10, min: 2000 },
    want: ["net/netfilter/nf_conntrack_max=2000"],
  },
  {
    name: "conntrack table is never lowered",
    sysctls: { "net/netfilter/nf_conntrack_max": "262144" },
    conntrack: { maxPerCore: 32_768, min: 131_072 },
    want: [],
  },
  {
    name: "node ports on loopback",
    sysctls: { "net/ipv4/conf/all/route_localnet": "0" },
    localhostNodePorts: true,
    want: ["net/ipv4/conf/all/route_localnet=1"],
  },
  {
    name: "no node ports on loopback",
    sysctls: { "net/ipv4/conf/all/route_localnet": "0" },
    want: [],
  },
  {
    name: "0 per core leaves it",
    sysctls: { "net/netfilter/nf_conntrack_max": "1" },
    conntrack: { min: 9 },
    want: [],
  },
  {
    name: "conntrack timeouts",
    sysctls: {
      "net/netfilter/nf_conntrack_tcp_timeout_established": "432000",
      "net/netfilter/nf_conntrack_tcp_timeout_close_wait": "3600",
      "net/netfilter/nf_conntrack_udp_timeout": "30",
      "net/netfilter/nf_conntrack_tcp_be_liberal": "0",
    },
    conntrack: { tcpEstablishedTimeoutSeconds: 86_400, tcpCloseWaitTimeoutSeconds: 3600, tcpBeLiberal: true },
    want: [
      "net/netfilter/nf_conntrack_tcp_timeout_established=86400",
      "net/netfilter/nf_conntrack_tcp_be_liberal=1",
    ],
  },
];

for (const row of rows) {
  test(`sysctls: ${row.name}`, () => {
    const wishes = planSysctls({
      read: (path) => row.sysctls[path],
      interfaces: ["lo", "eth0"],
      hasIpv6: row.hasIpv6 ?? true,
      cpus: 4,
      conntrack: { ...LEAVE, ...row.conntrack },
      localhostNodePorts: row.localhostNodePorts ?? false,
    });
    assert.deepEqual(
      wishes.map(({ path, value }) => `${path}=${value}`),
      row.want,
    );
    const after = new Map([
      ...Object.entries(row.sysctls),
      ...wishes.map(({ path, value }) => [path, value] as const),
    ]);
    const again = planSysctls({
      read: (path) => after.get(path),
      interfaces: ["lo", "eth0"],
      hasIpv6: true,
      cpus: 4,
      conntrack: { ...LEAVE, ...row.conntrack },
      localhostNodePorts: row.localhostNodePorts ?? false,
    });
    if (row.hasIpv6 !== false) assert.deepEqual(again, [], "a second plan is empty");
  });
}

test("forward chains that drop by policy are named", async () => {
  const chain = (fields: object) => ({
    chain: { family: "ip", table: "filter", name: "FORWARD", type: "filter", hook: "forward", ...fields },
  });
  const listing = {
    nftables: [
      { metainfo: {} },
      chain({ policy: "drop" }),
      chain({ policy: "accept", name: "B" }),
      chain({ hook: "input", policy: "drop" }),
    ],
  };
  assert.deepEqual(forwardDrops(listing), ["ip filter FORWARD"]);
  for (const odd of [null, {}, { nftables: 3 }, { nftables: [null, 3, { chain: null }] }])
    assert.deepEqual(forwardDrops(odd), []);
  assert.deepEqual(await readForwardPolicy(async () => JSON.stringify({ nftables: [] })), { kind: "open" });
  const unknown = await readForwardPolicy(async () => {
    throw new Error("spawn nft ENOENT");
  });
  assert.equal(unknown.kind, "unknown");
});

test("sysctls of ipvs mode, by the kernel's version where nothing else tells", () => {
  const vs = "net/ipv4/vs";
  const sysctls: Readonly<Record<string, string>> = {
    [`${vs}/conntrack`]: "0",
    [`${vs}/expire_nodest_conn`]: "0",
    [`${vs}/expire_quiescent_template`]: "1",
    [`${vs}/conn_reuse_mode`]: "1",
    "net/ipv4/conf/all/arp_ignore": "0",
    "net/ipv4/conf/all/arp_announce": "0",
  };
  const changed = (kernelRelease: string, strictARP: boolean) =>
    planSysctls({
      read: (path) => sysctls[path],
      interfaces: ["lo"],
      hasIpv6: false,
      cpus: 1,
      conntrack: LEAVE,
      localhostNodePorts: false,
      ipvs: { strictARP, kernelRelease },
    }).map(({ path, value }) => `${path.split("/").at(-1)}=${value}`);
  const always = ["conntrack=1", "expire_nodest_conn=1"];
  assert.deepEqual(changed("6.1.0-13-amd64", false), always);
  assert.deepEqual(changed("5.9.1", true), [...always, "arp_ignore=1", "arp_announce=2"]);
  assert.deepEqual(changed("5.8.18", false), [...always, "conn_reuse_mode=0"]);
  assert.deepEqual(changed("4.19.0", false), [...always, "conn_reuse_mode=0"]);
  assert.deepEqual(changed("3.10.0-1160.el7", false), always);
});
