/** Layer dns. Corefile lines of the `kubernetes` plugin (CoreDNS 1.14). */
import { corefileError } from "../../corefile/corefile-error.ts";
import {
  durationArg,
  expectArgs,
  integerArg,
  readOptions,
  wordArg,
  zoneArgs,
} from "../../corefile/options.ts";
import type { Directive } from "../../corefile/parser.ts";
import type { PluginDefinition, SetupContext } from "../../plugin.ts";
import { KubernetesPlugin } from "./kubernetes.ts";
import { type LabelSelector, parseLabelSelector } from "./label-selector.ts";
import { kubernetesMetadata } from "./metadata.ts";
import { isReverseZone, type KubernetesOptions } from "./options.ts";

const DEFAULT_TTL_SECONDS = 5;
const MAX_TTL_SECONDS = 3600;

type Draft = { -readonly [K in keyof KubernetesOptions]: KubernetesOptions[K] };

export const kubernetes: PluginDefinition = {
  name: "kubernetes",
  setup: (directives, context) => {
    const [directive, second] = directives;
    if (directive === undefined) return [];
    if (second !== undefined) throw corefileError(second, "kubernetes", "allowed once in a server block");
    const options = parseKubernetes(directive, context.zones);
    const { cluster } = context.runtime;
    if (options.pods === "verified") context.instance.wantsPods = true;
    context.readyWhen("kubernetes", () => cluster.synced);
    context.provideMetadata(kubernetesMetadata(options, cluster));
    return [new KubernetesPlugin(options, context.runtime)];
  },
};

/** @throws {NodeplaneError} CONFIG_INVALID */
export function parseKubernetes(directive: Directive, blockZones: SetupContext["zones"]): KubernetesOptions {
  const zones = zoneArgs(directive, 0, blockZones);
  const primaryZone = zones.find((zone) => !isReverseZone(zone));
  if (primaryZone === undefined) {
    throw corefileError(directive, "kubernetes", "needs at least one zone that is no reverse zone");
  }
  const draft: Draft = {
    zones,
    primaryZone,
    ttlSeconds: DEFAULT_TTL_SECONDS,
    pods: "disabled",
    hasEndpoints: true,
    ignoreEmptyService: false,
    endpointPodNames: false,
    zonal: false,
  };
  readOptions(directive, readers(draft));
  if (draft.zonal && !draft.hasEndpoints) {
    throw corefileError(directive, "kubernetes", '"zonal" needs endpoints: remove "noendpoints"');
  }
  if (draft.namespaces !== undefined && draft.namespaceSelector !== undefined) {
    throw corefileError(directive, "kubernetes", '"namespaces" and "namespace_labels" exclude each other');
  }
  return draft;
}

function readers(draft: Draft): Readonly<Record<string, (option: Directive) => void>> {
  return {
    namespaces: (option) => {
      expectArgs(option, 1, 1000, "namespaces NAMESPACE…");
      draft.namespaces = new Set([...(draft.namespaces ?? []), ...option.args]);
    },
    namespace_labels: (option) => {
      draft.namespaceSelector = selectorArg(option);
    },
    labels: (option) => {
      draft.objectSelector = selectorArg(option);
    },
    pods: (option) => {
      expectArgs(option, 1, 1, "pods disabled|insecure|verified");
      draft.pods = wordArg(option, 0, ["disabled", "insecure", "verified"]);
    },
    endpoint_pod_names: (option) => {
      expectArgs(option, 0, 0, "endpoint_pod_names");
      draft.endpointPodNames = true;
    },
    ttl: (option) => {
      expectArgs(option, 1, 1, "ttl SECONDS");
      draft.ttlSeconds = integerArg(option, 0, 0, MAX_TTL_SECONDS);
    },
    noendpoints: (option) => {
      expectArgs(option, 0, 0, "noendpoints");
      draft.hasEndpoints = false;
    },
    fallthrough: (option) => {
      draft.fallthrough = zoneArgs(option, 0, ["."]);
    },
    ignore: (option) => {
      expectArgs(option, 1, 1, "ignore empty_service");
      wordArg(option, 0, ["empty_service"]);
      draft.ignoreEmptyService = true;
    },
    zonal: (option) => {
      expectArgs(option, 0, 0, "zonal");
      draft.zonal = true;
    },
    startup_timeout: (option) => {
      // Checked and without effect: we listen at once and answer SERVFAIL for what may be missing yet.
      expectArgs(option, 1, 1, "startup_timeout DURATION");
      durationArg(option, 0);
    },
    ...Object.fromEntries(API_CLIENT_OPTIONS.map((name) => [name, refuseApiOption])),
  };
}

/** Options that ask for an API client of the plugin's own. */
const API_CLIENT_OPTIONS = [
  "endpoint",
  "tls",
  "kubeconfig",
  "apiserver_qps",
  "apiserver_burst",
  "apiserver_max_inflight",
  "multicluster",
];

function refuseApiOption(option: Directive): never {
  throw corefileError(
    option,
    "kubernetes",
    `"${option.name}" is not supported: objects come from nodeplane's own feed (--objects or the node stream)`,
  );
}

function selectorArg(option: Directive): LabelSelector {
  const text = option.args.join(" ");
  const selector = text === "" ? undefined : parseLabelSelector(text);
  if (selector === undefined) {
    throw corefileError(
      option,
      option.name,
      `"${text}" is no label selector; the form is: KEY=VALUE,KEY in (A,B),!KEY`,
    );
  }
  return selector;
}
