/** Metrics under CoreDNS's names and labels, old and new of `forward`, as dashboards and alerts query them. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { startResolver } from "../dns-cases/resolver-process.ts";
import { startUpstream } from "../dns-cases/upstream-stub.ts";
import { askText } from "../dns-corefiles/ask.ts";
import { freePort, withFreePort } from "../support/free-port.ts";

const fixture = join(import.meta.dirname, "../cases/dns-fixture.yaml");
const SCOPE = ["server", "zone", "view"];
const CACHE = ["server", "zones", "view"];
/** By name, labels in any order; of a histogram the count. */
const EXPECTED: Readonly<Record<string, readonly string[]>> = {
  coredns_build_info: ["version", "revision", "goversion"],
  coredns_panics_total: [],
  coredns_plugin_enabled: [...SCOPE, "name"],
  coredns_dns_requests_total: [...SCOPE, "proto", "family", "type"],
  coredns_dns_request_duration_seconds_count: SCOPE,
  coredns_dns_request_size_bytes_count: [...SCOPE, "proto"],
  coredns_dns_response_size_bytes_count: [...SCOPE, "proto"],
  coredns_dns_do_requests_total: SCOPE,
  coredns_dns_responses_total: [...SCOPE, "rcode", "plugin"],
  coredns_cache_entries: ["server", "type", "zones", "view"],
  coredns_cache_requests_total: CACHE,
  coredns_cache_prefetch_total: CACHE,
  coredns_cache_drops_total: CACHE,
  coredns_cache_served_stale_total: CACHE,
  coredns_cache_misses_total: CACHE,
  coredns_cache_hits_total: ["server", "type", "zones", "view"],
  coredns_forward_healthcheck_broken_total: [],
  coredns_forward_max_concurrent_rejects_total: [],
  coredns_proxy_request_duration_seconds_count: ["proxy_name", "to", "rcode"],
  coredns_proxy_conn_cache_misses_total: ["proxy_name", "to", "proto"],
  coredns_forward_requests_total: ["to"],
  coredns_forward_responses_total: ["to", "rcode"],
  coredns_forward_request_duration_seconds_count: ["to", "rcode"],
  coredns_health_request_duration_seconds_count: [],
  coredns_health_request_failures_total: [],
  coredns_reload_failed_total: [],
  coredns_reload_version_info: ["hash", "value"],
  coredns_hosts_entries: ["hostsfile"],
  coredns_hosts_reload_timestamp_seconds: [],
  coredns_acl_blocked_requests_total: SCOPE,
  coredns_acl_filtered_requests_total: SCOPE,
  coredns_acl_dropped_requests_total: SCOPE,
  coredns_acl_allowed_requests_total: ["server", "view"],
  coredns_template_matches_total: [...SCOPE, "class", "type"],
  coredns_template_rr_failures_total: [...SCOPE, "class", "type", "section", "template"],
  coredns_local_localhost_requests_total: [],
  coredns_autopath_success_total: ["server"],
  coredns_dns64_requests_translated_total: ["server"],
  coredns_proxy_healthcheck_failures_total: ["proxy_name", "to"],
  coredns_forward_healthcheck_failures_total: ["to"],
  process_resident_memory_bytes: [],
  process_cpu_seconds_total: [],
  process_open_fds: [],
  process_max_fds: [],
  nodeplane_dns_data_age_seconds: [],
  nodeplane_dns_services: [],
};

test("every metric is there, with its labels", async () => {
  const upstream = await startUpstream([{ name: "v4.example.", type: "A", ttl: 60, data: "192.0.2.1" }]);
  const gone = await freePort();
  const corefile = (health: number): string => `.:0 {
    bind 127.0.0.1
    prometheus 127.0.0.1:0
    health 127.0.0.1:${health}
    reload
    local
    dns64 {
      allow_ipv4
    }
    acl {
      block net 127.0.0.3
      filter net 127.0.0.4
      drop net 127.0.0.5
    }
    autopath search
    template IN TXT t.test {
      answer "{{ .Name }} 60 IN TXT x"
    }
    template IN MX t.test {
      answer "nonsense"
    }
    hosts /dev/null {
      10.0.0.1 a.second.test
      fallthrough
    }
    kubernetes cluster.local
    cache 30
    forward gone.test 127.0.0.1:${gone} {
      max_fails 1
      health_check 50ms
    }
    forward . 127.0.0.1:${upstream.port}
  }\n`;
  const search = "search first.test second.test\n";
  const files = { search };
  const { resolver, health } = await withFreePort(async (port) => ({
    health: port,
    resolver: await startResolver(corefile(port), ["--objects", fixture], { files }),
  }));
  try {
    const names = [
      "v4.example",
      "v4.example",
      "localhost",
      "a.first.test",
      "web.atlas.svc.cluster.local",
      "x.gone.test",
    ];
    for (const name of names) await askText(`${name} A`, resolver.port);
    for (const question of ["v4.example AAAA", "t.test TXT", "t.test MX", "v4.example A +do"])
      await askText(question, resolver.port);
    for (const host of [3, 4, 5]) await askText(`v4.example A from=127.0.0.${host}`, resolver.port);
    const page = `http://${resolver.http.find((address) => !address.endsWith(`:${health}`))}/metrics`;
    const missing = async (): Promise<readonly string[]> => {
      const lines = (await (await fetch(page)).text()).split("\n");
      return Object.entries(EXPECTED).flatMap(([name, labels]) => {
        const line = lines.find((text) => text.startsWith(`${name}{`) || text.startsWith(`${name} `));
        const seen = [...(line ?? "").matchAll(/[{,](\w+)="/g)].map((match) => match[1] ?? "");
        const isRight = line !== undefined && seen.sort().join() === [...labels].sort().join();
        return isRight ? [] : [`${name}{${labels.join()}}: ${line ?? "not there"}`];
      });
    };
    const end = performance.now() + 20_000;
    while ((await missing()).length > 0 && performance.now() < end) {
      await askText("y.gone.test A", resolver.port);
    }
    assert.deepEqual(await missing(), []);
  } finally {
    await resolver.stop();
    upstream.close();
  }
});
