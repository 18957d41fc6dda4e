/**
 * Layer agent. The configuration in force as the documents that would bring it about, defaults included: for `/configz` and
 * `--write-config-to`. What is written and read again gives the same settings.
 */
import { AGENT_FIELDS } from "./agent-fields.ts";
import type { AgentSettings } from "./agent-settings.ts";
import type { Field, FieldValues } from "./field.ts";
import { KUBE_PROXY, KUBE_PROXY_FIELDS } from "./kube-proxy-fields.ts";
import { formatYaml } from "./yaml-text.ts";

type Document = Readonly<Record<string, unknown>>;

export interface ConfigDocuments {
  readonly kubeProxy: Document;
  readonly agent: Document;
}

/** @param settings made of `values`: says what a field without a value comes to where that depends on others */
export function configDocuments(
  values: FieldValues,
  settings: Omit<AgentSettings, "source">,
): ConfigDocuments {
  const decided = new Map<Field<unknown>, unknown>([
    [KUBE_PROXY.mode, settings.mode],
    [KUBE_PROXY.masqueradeAll, settings.masqueradeAll],
    [KUBE_PROXY.nftablesMasqueradeAll, settings.masqueradeAll],
    [KUBE_PROXY.masqueradeBit, settings.masqueradeBit],
    [KUBE_PROXY.nftablesMasqueradeBit, settings.masqueradeBit],
    [KUBE_PROXY.healthzBindAddress, settings.healthz],
    [KUBE_PROXY.metricsBindAddress, settings.metrics],
    [
      KUBE_PROXY.nodePortAddresses,
      settings.nodePortAddresses === "primary" ? ["primary"] : settings.nodePortAddresses,
    ],
  ]);
  // Written only when it is set: it does something then.
  const isShown = (field: Field<unknown>) =>
    values.has(field) || (field.ignored === undefined && field !== KUBE_PROXY.oomScoreAdj);
  const effective = (field: Field<unknown>) =>
    (values.has(field) && field !== KUBE_PROXY.mode) || !decided.has(field)
      ? values.get(field)
      : decided.get(field);
  const document = (fields: readonly Field<unknown>[]) =>
    nested(
      fields.filter(isShown).map((field) => {
        const value = effective(field);
        return [field.path, field.type.toDocument?.(value) ?? value];
      }),
    );
  return { kubeProxy: document(KUBE_PROXY_FIELDS), agent: document(AGENT_FIELDS) };
}

/** As a file that `--config` reads. */
export function formatDocuments({ kubeProxy, agent }: ConfigDocuments): string {
  return formatYaml([
    { apiVersion: "kubeproxy.config.k8s.io/v1alpha1", kind: "KubeProxyConfiguration", ...kubeProxy },
    { apiVersion: "nodeplane.dev/v1alpha1", kind: "AgentConfiguration", ...agent },
  ]);
}

/** Dotted paths as maps in maps. */
function nested(entries: readonly (readonly [path: string, value: unknown])[]): Document {
  const root: Record<string, unknown> = {};
  const maps = new Map<string, Record<string, unknown>>([["", root]]);
  for (const [path, value] of entries) {
    const at = path.lastIndexOf(".");
    const parent = at === -1 ? "" : path.slice(0, at);
    const map = maps.get(parent) ?? {};
    if (!maps.has(parent)) root[parent] = map; // no path is deeper than two
    maps.set(parent, map);
    map[path.slice(at + 1)] = value;
  }
  return root;
}
