/** Configuration of the agent: what is accepted, what is refused with which line. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { agentSettings, nodeSettings } from "../../../src/agent/config/agent-settings.ts";
import { configDocuments, formatDocuments } from "../../../src/agent/config/config-documents.ts";
import { FieldValues } from "../../../src/agent/config/field.ts";
import { parseDurationMs } from "../../../src/agent/config/field-types.ts";
import { parseFlags } from "../../../src/agent/config/flags.ts";
import { readDocuments } from "../../../src/agent/config/read-documents.ts";

const PROXY = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";
const AGENT = "apiVersion: nodeplane.dev/v1alpha1\nkind: AgentConfiguration\n";

function settings(yaml: string, args: readonly string[] = ["--objects", "/o"]) {
  const values = new FieldValues();
  const flags = parseFlags(args);
  readDocuments("f.yaml", yaml, values);
  flags.apply(values);
  return agentSettings(values, "Host-1");
}

test("defaults are those of the design", () => {
  const found = settings("");
  assert.equal(found.mode, "nftables");
  assert.equal(found.nodeName, "host-1");
  assert.equal(found.masqueradeBit, 14);
  assert.deepEqual(found.healthz, { host: "0.0.0.0", port: 10256 });
  assert.deepEqual(found.metrics, { host: "127.0.0.1", port: 10249 });
  assert.equal(found.nodePortAddresses, "primary");
  assert.equal(found.countConnections, false);
  assert.equal(settings("", ["--objects", "/o", "--count-connections"]).countConnections, true);
  assert.deepEqual(found.detectLocal, {
    mode: "ClusterCIDR",
    cidrs: [
      { address: "10.244.0.0", prefixBits: 16 },
      { address: "fd00:10:244::", prefixBits: 56 },
    ],
  });
});

test("iptables mode has kube-proxy's defaults of that mode", () => {
  const found = settings(
    `${PROXY}mode: iptables\niptables: {masqueradeBit: 5}\nnftables: {masqueradeBit: 6}\n`,
  );
  assert.equal(found.mode, "iptables");
  assert.deepEqual(found.nodePortAddresses, [], "every local address");
  assert.equal(found.masqueradeBit, 5);
  assert.equal(found.localhostNodePorts, true);
  assert.equal(found.minSyncPeriodMs, 1000);
  assert.equal(found.iptablesVariant, "auto");
  const flags = ["--objects", "/o", "--proxy-mode=iptables", "--nodeport-addresses=primary"];
  assert.equal(settings("", flags).nodePortAddresses, "primary");
  assert.equal(settings("").localhostNodePorts, false, "never in nftables mode");
});

const accepted: readonly { name: string; yaml?: string; args?: readonly string[]; want: object }[] = [
  {
    name: "a configuration as kubeadm writes it",
    yaml: `${PROXY}bindAddress: 0.0.0.0
bindAddressHardFail: false
clientConnection: {acceptContentTypes: "", burst: 0, contentType: "", kubeconfig: /var/lib/kube-proxy/kubeconfig.conf, qps: 0}
clusterCIDR: 10.0.0.0/8
configSyncPeriod: 0s
conntrack: {maxPerCore: null, min: null, tcpBeLiberal: false, tcpCloseWaitTimeout: null, tcpEstablishedTimeout: null, udpStreamTimeout: 0s, udpTimeout: 0s}
detectLocal: {bridgeInterface: "", interfaceNamePrefix: ""}
detectLocalMode: ""
enableProfiling: false
healthzBindAddress: ""
hostnameOverride: ""
iptables: {localhostNodePorts: null, masqueradeAll: false, masqueradeBit: null, minSyncPeriod: 0s, syncPeriod: 0s}
ipvs: {excludeCIDRs: null, minSyncPeriod: 0s, scheduler: "", strictARP: false, syncPeriod: 0s, tcpFinTimeout: 0s, tcpTimeout: 0s, udpTimeout: 0s}
logging: {flushFrequency: 0, options: {json: {infoBufferSize: "0"}}, verbosity: 0}
metricsBindAddress: ""
mode: nftables
nftables: {masqueradeAll: false, masqueradeBit: null, minSyncPeriod: 0s, syncPeriod: 0s}
nodePortAddresses: null
oomScoreAdj: null
portRange: ""
showHiddenMetricsForVersion: ""
winkernel: {enableDSR: false, forwardHealthCheckVip: false, networkName: "", rootHnsEndpointName: "", sourceVip: ""}
`,
    want: {
      detectLocal: { mode: "ClusterCIDR", cidrs: [{ address: "10.0.0.0", prefixBits: 8 }] },
      syncPeriodMs: 30_000,
      healthz: { host: "0.0.0.0", port: 10256 },
    },
  },
  {
    name: "both documents, ours first",
    yaml: `${AGENT}zone: z1\n---\n${PROXY}mode: ""\n`,
    want: { zone: "z1", mode: "nftables" },
  },
  {
    name: "a flag wins over the file",
    yaml: `${PROXY}nftables: {masqueradeAll: true}\nhostnameOverride: a\n`,
    args: ["--objects=/o", "--hostname-override", "B", "--masquerade-all=false"],
    want: { masqueradeAll: false, nodeName: "b" },
  },
  {
    name: "a true/false flag alone",
    args: ["--masquerade-all", "--objects", "/o"],
    want: { masqueradeAll: true },
  },
  {
    name: "the iptables bit where nftables has none",
    yaml: `${PROXY}iptables: {masqueradeBit: 3}\n`,
    want: { masqueradeBit: 3 },
  },
  {
    name: "port 0 and empty addresses turn servers off",
    args: ["--objects=/o", "--healthz-bind-address=0.0.0.0:0", "--metrics-bind-address="],
    want: { healthz: undefined, metrics: undefined },
  },
  {
    name: "IPv6 bind address, node port ranges, two cluster ranges",
    args: [
      "--objects=/o",
      "--healthz-bind-address=[::1]:1",
      "--nodeport-addresses=192.168.0.2/32,2001:db8::1/128",
      "--cluster-cidr=10.0.0.0/8,fd00:10::/64",
    ],
    want: {
      healthz: { host: "::1", port: 1 },
      nodePortAddresses: [
        { address: "192.168.0.2", prefixBits: 32 },
        { address: "2001:db8::1", prefixBits: 128 },
      ],
      detectLocal: {
        mode: "ClusterCIDR",
        cidrs: [
          { address: "10.0.0.0", prefixBits: 8 },
          { address: "fd00:10::", prefixBits: 64 },
        ],
      },
    },
  },
  {
    name: "--masquerade-all in a mode whose own field says no",
    yaml: `${PROXY}mode: iptables\niptables: {masqueradeAll: false}\n`,
    args: ["--objects=/o", "--masquerade-all"],
    want: { masqueradeAll: true },
  },
  {
    name: "a marshalled zero as the default of iptables.minSyncPeriod",
    yaml: `${PROXY}mode: iptables\niptables: {minSyncPeriod: 0s}\n`,
    want: { minSyncPeriodMs: 1000 },
  },
  {
    name: "a zero flag literally",
    args: ["--objects=/o", "--iptables-min-sync-period=0s"],
    want: { minSyncPeriodMs: 0 },
  },
  {
    name: "timeouts of connection tracking in whole seconds",
    args: ["--objects=/o", "--conntrack-udp-timeout=1500ms", "--conntrack-tcp-timeout-established=0s"],
    want: {
      conntrack: {
        maxPerCore: 32_768,
        min: 131_072,
        tcpEstablishedTimeoutSeconds: 0,
        tcpCloseWaitTimeoutSeconds: 3600,
        tcpBeLiberal: false,
        udpTimeoutSeconds: 2,
        udpStreamTimeoutSeconds: 0,
      },
    },
  },
  {
    name: "an IPv6 bindAddress for the servers that say nothing themselves",
    yaml: `${PROXY}bindAddress: "::"\nhealthzBindAddress: ""\n`,
    want: { healthz: { host: "::", port: 10_256 }, metrics: { host: "::1", port: 10_249 } },
  },
  {
    name: "kube-proxy's flags of logging",
    args: ["--objects=/o", "-v=4", "--vmodule=a=1", "--logging-format", "json", "--log-flush-frequency=5s"],
    want: { logLevel: "info" },
  },
  {
    name: "labels as a flag",
    args: ["--objects=/o", "--node-labels=a/b=c,d="],
    want: { nodeLabels: { "a/b": "c", d: "" } },
  },
];

for (const row of accepted) {
  test(`config accepts ${row.name}`, () => {
    const found = settings(row.yaml ?? "", row.args) as unknown as Record<string, unknown>;
    for (const [key, value] of Object.entries(row.want)) assert.deepEqual(found[key], value, key);
  });
}

const refused: readonly { name: string; yaml?: string; args?: readonly string[]; want: RegExp }[] = [
  {
    name: "unknown field",
    yaml: `${PROXY}nftables: {masqBit: 1}\n`,
    want: /f\.yaml: nftables\.masqBit: unknown field; allowed: masqueradeAll, masqueradeBit, minSyncPeriod, syncPeriod$/,
  },
  {
    name: "unknown top-level field",
    yaml: `${AGENT}zones: a\n`,
    want: /f\.yaml: zones: unknown field; allowed: .*zone/,
  },
  {
    name: "bit out of range",
    yaml: `${PROXY}nftables: {masqueradeBit: 32}\n`,
    want: /f\.yaml: nftables\.masqueradeBit: 32 is not allowed; allowed: a whole number from 0 to 31$/,
  },
  {
    name: "wrong kind",
    yaml: "apiVersion: v1\nkind: Service\n",
    want: /apiVersion and kind: found "v1" "Service"; allowed: kubeproxy/,
  },
  { name: "a second document of a kind", yaml: `${AGENT}---\n${AGENT}`, want: /a second AgentConfiguration/ },
  {
    name: "a scalar where a map is due",
    yaml: `${PROXY}nftables: 3\n`,
    want: /nftables: 3 is not allowed; allowed: a map/,
  },
  { name: "bad YAML", yaml: "a: [", want: /f\.yaml: / },
  { name: "a key twice", yaml: `${PROXY}mode: ""\nmode: ""\n`, want: /f\.yaml: .*unique/ },
  {
    name: "aliases that multiply",
    yaml: `a: &a [1,2,3]\nb: &b [${"*a,".repeat(9)}]\nc: &c [${"*b,".repeat(9)}]\nd: [${"*c,".repeat(9)}]\n`,
    want: /f\.yaml: Excessive alias count/,
  },
  {
    name: "a label that the API would refuse",
    args: ["--objects=/o", "--node-labels=a=b c"],
    want: /--node-labels: .*labels such as/,
  },
  {
    name: "a label key with a slash too many",
    yaml: `${AGENT}nodeLabels: {a/b/c: d}\n`,
    want: /nodeLabels: .*labels such as/,
  },
  { name: "a list document", yaml: "- a\n", want: /must be a map/ },
  {
    name: "a scheduler that no kernel can have",
    args: ["--proxy-mode=ipvs", "--ipvs-scheduler=Round Robin", "--objects=/o"],
    want: /--ipvs-scheduler: .*random, or a scheduler of the kernel/,
  },
  {
    name: "unknown mode",
    args: ["--proxy-mode=ebpf"],
    want: /--proxy-mode: "ebpf" is not allowed; allowed: "", nftables/,
  },
  { name: "unknown flag", args: ["--frobnicate"], want: /--frobnicate: unknown flag/ },
  { name: "kube-proxy's --init-only", args: ["--init-only"], want: /--init-only: is not offered: the agent/ },
  { name: "flag without value", args: ["--objects"], want: /--objects: needs a value/ },
  { name: "word that is no flag", args: ["objects"], want: /"objects": not a flag/ },
  { name: "no source", args: [], want: /say where objects come from/ },
  { name: "two sources", args: ["--objects=/o", "--control-plane=a:1"], want: /cannot be combined/ },
  {
    name: "two CIDRs of one family",
    args: ["--cluster-cidr=10.0.0.0/8,11.0.0.0/8"],
    want: /one of each IP family/,
  },
  { name: "primary beside a range", args: ["--nodeport-addresses=primary,10.0.0.0/8"], want: /single word/ },
  {
    name: "duration without unit",
    yaml: `${PROXY}nftables: {syncPeriod: "30"}\n`,
    want: /a duration such as 30s/,
  },
  { name: "zero period", args: ["--objects=/o", "--nftables-sync-period=0s"], want: /at least 1 ms/ },
  {
    name: "bridge mode without bridge",
    args: ["--objects=/o", "--detect-local-mode=BridgeInterface"],
    want: /detectLocal\.bridgeInterface: needed/,
  },
  { name: "node name with a blank", args: ["--node-name=a b"], want: /--node-name: "a b" is not allowed/ },
  {
    name: "port too large",
    args: ["--healthz-bind-address=0.0.0.0:70000"],
    want: /--healthz-bind-address: .*ADDRESS:PORT/,
  },
];

for (const row of refused) {
  test(`config refuses ${row.name}`, () => {
    assert.throws(
      () => settings(row.yaml ?? "", row.args),
      (error: Error & { code?: string }) => {
        assert.equal(error.code, "CONFIG_INVALID");
        assert.match(error.message, row.want);
        assert.ok(!error.message.includes("\n"), "one line");
        return true;
      },
    );
  });
}

test("parseDurationMs() reads durations as Go writes them", () => {
  const rows: readonly [string, number | undefined][] = [
    ["0", 0],
    ["1h30m", 5_400_000],
    ["1.5s", 1500],
    ["250us", 0.25],
    ["", undefined],
    ["5", undefined],
    ["-1s", undefined],
  ];
  for (const [text, want] of rows) assert.equal(parseDurationMs(text), want, text);
});

const rewritten: readonly { name: string; yaml?: string; args?: readonly string[] }[] = [
  { name: "defaults" },
  { name: "iptables mode with nothing else", args: ["--proxy-mode=iptables"] },
  {
    name: "ipvs mode, all kinds of values",
    yaml: `${PROXY}mode: ipvs
bindAddress: "::"
ipvs: {scheduler: random, excludeCIDRs: [10.0.0.0/8, "fd00::/64"], udpTimeout: 1h1m1.5s}
iptables: {masqueradeBit: 3, masqueradeAll: true}
oomScoreAdj: -5
clusterCIDR: ""
featureGates: {A: true}
logging: {verbosity: 3}
---
${AGENT}nodeAddresses: [192.0.2.1, "2001:db8::1"]
nodeLabels: {a/b: "true"}
manifestDir: ""
controlPlane: {address: "c:1"}
`,
  },
  {
    name: "servers off, ranges of node ports",
    args: [
      "--healthz-bind-address=",
      "--metrics-bind-address=[fd00::1]:1",
      "--nodeport-addresses=10.0.0.0/8",
    ],
  },
];

for (const { name, yaml = "", args = [] } of rewritten) {
  test(`what --write-config-to writes means the same when it is read: ${name}`, () => {
    const values = new FieldValues();
    readDocuments("f.yaml", yaml, values);
    parseFlags(args).apply(values);
    const before = nodeSettings(values, "h");
    const text = formatDocuments(configDocuments(values, before));
    const again = new FieldValues();
    readDocuments("written.yaml", text, again);
    assert.deepEqual(nodeSettings(again, "h"), before);
    assert.equal(formatDocuments(configDocuments(again, before)), text);
    for (const [path, value] of values.entries())
      assert.deepEqual(new Map(again.entries()).get(path), value, path);
  });
}

test("flags that ask for something else than running", () => {
  assert.equal(parseFlags(["--cleanup"]).instead, "cleanup");
  assert.equal(parseFlags(["--cleanup=false"]).instead, undefined);
  assert.equal(parseFlags(["--version"]).instead, "version");
  assert.equal(parseFlags(["--write-config-to", "/f"]).writeTo, "/f");
});
