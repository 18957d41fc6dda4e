/**
 * Layer dns. The plugins and the order in which they see a query: that of CoreDNS 1.14 (plugin.cfg), whatever the order of
 * lines in a Corefile. A new plugin is a folder and a line here.
 */
import type { PluginDefinition } from "./plugin.ts";
import { acl } from "./plugins/acl/setup.ts";
import { any } from "./plugins/any/setup.ts";
import { autopath } from "./plugins/autopath/setup.ts";
import { bind } from "./plugins/bind/setup.ts";
import { bufsize } from "./plugins/bufsize/setup.ts";
import { cache } from "./plugins/cache/setup.ts";
import { cancel } from "./plugins/cancel/setup.ts";
import { chaos } from "./plugins/chaos/setup.ts";
import { debug } from "./plugins/debug/setup.ts";
import { dns64 } from "./plugins/dns64/setup.ts";
import { errors } from "./plugins/errors/setup.ts";
import { file } from "./plugins/file/setup.ts";
import { forward } from "./plugins/forward/setup.ts";
import { header } from "./plugins/header/setup.ts";
import { health } from "./plugins/health/setup.ts";
import { hosts } from "./plugins/hosts/setup.ts";
import { k8sExternal } from "./plugins/k8s_external/setup.ts";
import { kubernetes } from "./plugins/kubernetes/setup.ts";
import { loadbalance } from "./plugins/loadbalance/setup.ts";
import { local } from "./plugins/local/setup.ts";
import { log } from "./plugins/log/setup.ts";
import { loop } from "./plugins/loop/setup.ts";
import { metadata } from "./plugins/metadata/setup.ts";
import { minimal } from "./plugins/minimal/setup.ts";
import { multisocket } from "./plugins/multisocket/setup.ts";
import { nsid } from "./plugins/nsid/setup.ts";
import { prometheus } from "./plugins/prometheus/setup.ts";
import { ready } from "./plugins/ready/setup.ts";
import { reload } from "./plugins/reload/setup.ts";
import { rewrite } from "./plugins/rewrite/setup.ts";
import { template } from "./plugins/template/setup.ts";
import { timeouts } from "./plugins/timeouts/setup.ts";
import { tls } from "./plugins/tls/setup.ts";
import { transfer } from "./plugins/transfer/setup.ts";
import { view } from "./plugins/view/setup.ts";
import { whoami } from "./plugins/whoami/setup.ts";

export const PLUGIN_ORDER: readonly PluginDefinition[] = [
  metadata,
  cancel,
  timeouts,
  multisocket,
  reload,
  nsid,
  bufsize,
  bind,
  debug,
  ready,
  health,
  prometheus,
  errors,
  log,
  local,
  dns64,
  any,
  chaos,
  loadbalance,
  rewrite,
  autopath,
  acl,
  cache,
  header,
  tls,
  minimal,
  template,
  transfer,
  hosts,
  k8sExternal,
  kubernetes,
  file,
  loop,
  forward,
  whoami,
  view,
];

/** Plugins of CoreDNS that nodeplane does not have: a Corefile that names one is refused by name. */
export const UNSUPPORTED_PLUGINS: readonly string[] = [
  "root",
  "geoip",
  "proxyproto",
  "quic",
  "grpc_server",
  "https",
  "https3",
  "trace",
  "pprof",
  "shed",
  "dnstap",
  "tsig",
  "dnssec",
  "route53",
  "azure",
  "clouddns",
  "auto",
  "secondary",
  "etcd",
  "grpc",
  "erratic",
  "on",
  "sign",
  "nomad",
];
