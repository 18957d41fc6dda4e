/** Fields of the configuration: all of KubeProxyConfiguration, each once, and the tables that the documentation has of them. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { AGENT_FIELDS } from "../../../src/agent/config/agent-fields.ts";
import type { Field } from "../../../src/agent/config/field.ts";
import { KUBE_PROXY_FIELDS } from "../../../src/agent/config/kube-proxy-fields.ts";

test("no two fields have one path, and one flag sets two fields only where modes have a field each", () => {
  const fields = [...KUBE_PROXY_FIELDS, ...AGENT_FIELDS];
  const paths = fields.map((field) => field.path);
  const flags = fields.map((field) => field.flag).filter((flag) => flag !== undefined);
  assert.equal(new Set(paths).size, paths.length);
  const twice = flags.filter((flag, i) => flags.indexOf(flag) < i);
  assert.deepEqual(twice, ["masquerade-all"]);
});

function formatTable(fields: readonly Field<unknown>[]): string {
  const rows = fields.map((field) => {
    const flag = field.flag === undefined ? "" : `\`--${field.flag}\``;
    const what = field.ignored ?? field.note ?? "";
    return `| \`${field.path}\` | ${flag} | ${field.fallbackText} | ${field.type.allowed} | ${verdict(field)} | ${what} |`;
  });
  return ["| field | flag | default | allowed | | |", "|---|---|---|---|---|---|", ...rows, ""].join("\n");
}

/** Reasons why a field means nothing to this agent at all. */
const NOT_APPLICABLE = /^(Windows only|the agent is fed by|was for the userspace mode)/;

function verdict({ ignored }: Field<unknown>): string {
  if (ignored === undefined) return "honoured";
  return NOT_APPLICABLE.test(ignored) ? "not applicable" : "ignored";
}

/** KubeProxyConfiguration v1alpha1 as its Go types have it (k8s.io/kube-proxy/config/v1alpha1/types.go), and what older ones had. */
const V1ALPHA1: Readonly<Record<string, string>> = {
  "": `featureGates logging hostnameOverride bindAddress healthzBindAddress metricsBindAddress bindAddressHardFail enableProfiling
    showHiddenMetricsForVersion mode detectLocalMode clusterCIDR nodePortAddresses oomScoreAdj configSyncPeriod portRange
    windowsRunAsService winkernel udpIdleTimeout`,
  clientConnection: "kubeconfig acceptContentTypes contentType qps burst",
  iptables: "masqueradeBit masqueradeAll localhostNodePorts syncPeriod minSyncPeriod",
  nftables: "masqueradeBit masqueradeAll syncPeriod minSyncPeriod",
  ipvs: "syncPeriod minSyncPeriod scheduler excludeCIDRs strictARP tcpTimeout tcpFinTimeout udpTimeout",
  detectLocal: "bridgeInterface interfaceNamePrefix",
  conntrack:
    "maxPerCore min tcpEstablishedTimeout tcpCloseWaitTimeout tcpBeLiberal udpTimeout udpStreamTimeout",
};

test("every field of KubeProxyConfiguration is known, and no other", () => {
  const fields = Object.entries(V1ALPHA1).flatMap(([parent, names]) =>
    names.split(/\s+/).map((name) => (parent === "" ? name : `${parent}.${name}`)),
  );
  assert.deepEqual(KUBE_PROXY_FIELDS.map(({ path }) => path).toSorted(), fields.toSorted());
});

test("docs/configuration.md holds the tables of fields (RECORD=1 rewrites them)", () => {
  const path = join(import.meta.dirname, "../../../docs/configuration.md");
  const text = readFileSync(path, "utf8");
  const tables: Readonly<Record<string, string>> = {
    KubeProxyConfiguration: formatTable(KUBE_PROXY_FIELDS),
    AgentConfiguration: formatTable(AGENT_FIELDS),
  };
  const want = text.replaceAll(
    /(<!-- fields of (\w+) -->\n)[^<]*(<!-- end -->)/g,
    (_, begin: string, kind: string, end: string) => {
      return `${begin}${tables[kind] ?? ""}${end}`;
    },
  );
  if (process.env["RECORD"] === "1") writeFileSync(path, want);
  else assert.equal(text, want);
  assert.equal([...text.matchAll(/<!-- fields of/g)].length, 2);
});
