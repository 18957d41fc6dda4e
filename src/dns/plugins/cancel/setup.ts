/** Layer dns. The `cancel` plugin: a query that takes too long gets no reply, since its client has given up. */
import { durationArg, expectArgs, readOptions } from "../../corefile/options.ts";
import type { Outcome, PluginDefinition } from "../../plugin.ts";

const DEFAULT_MS = 5_001;
const DROP: Outcome = { kind: "drop", by: "cancel" };

export const cancel: PluginDefinition = {
  name: "cancel",
  setup: ([directive]) => {
    if (directive === undefined) return [];
    expectArgs(directive, 0, 1, "cancel [TIMEOUT]");
    readOptions(directive, {});
    const ms = directive.args.length === 0 ? DEFAULT_MS : durationArg(directive, 0, 1);
    return [
      {
        name: "cancel",
        handle: (query, rest) => {
          const outcome = rest(query);
          return outcome instanceof Promise ? within(outcome, ms) : outcome;
        },
      },
    ];
  },
};

async function within(outcome: Promise<Outcome>, ms: number): Promise<Outcome> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Outcome>((resolve) => {
    timer = setTimeout(() => resolve(DROP), ms);
  });
  try {
    return await Promise.race([outcome, late]);
  } finally {
    clearTimeout(timer);
  }
}
