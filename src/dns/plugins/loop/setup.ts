/**
 * Layer dns. The `loop` plugin: a question of our own that comes back means that an upstream sends its questions to us. It
 * then says so and answers SERVFAIL instead of forwarding, until the loop is gone; the names that need no upstream go on.
 */
import { CLASS, TYPE } from "../../../codec/dns/constants.ts";
import { expectArgs, readOptions } from "../../corefile/options.ts";
import { NEXT, type Outcome, type Plugin, type PluginDefinition, type SetupContext } from "../../plugin.ts";
import { type DnsQuery, ownQuery } from "../../query.ts";

const PROBE_TIMEOUT_MS = 2_000;
const RECHECK_MS = 30_000;
const LABEL_DIGITS = 1e15;

export const loop: PluginDefinition = {
  name: "loop",
  setup: ([directive], context) => {
    if (directive === undefined) return [];
    expectArgs(directive, 0, 0, "loop");
    readOptions(directive, {});
    const guard = new LoopGuard(context);
    context.onStart((signal) => guard.start(signal));
    return [guard];
  },
};

export class LoopGuard implements Plugin {
  readonly name = "loop";
  /** Told when a loop was found or is gone; for the native engine. */
  onChange: ((isLooping: boolean) => void) | undefined;
  readonly #context: SetupContext;
  readonly #zone: string;
  #probeName = "";
  #seen = 0;
  #isLooping = false;

  constructor(context: SetupContext) {
    this.#context = context;
    this.#zone = context.zones[0] ?? ".";
  }

  handle(query: DnsQuery): Outcome {
    if (query.lowerName === this.#probeName && query.type === TYPE.HINFO) {
      this.#seen++;
      // The first sight is the question on its way out.
      if (this.#seen === 1) return NEXT;
      return { kind: "failed", by: this.name, cause: new Error("our own probe came back") };
    }
    if (!this.#isLooping) return NEXT;
    return {
      kind: "failed",
      by: this.name,
      cause: new Error("forwarding is off: upstreams lead back to this server"),
    };
  }

  start(signal: AbortSignal): void {
    void this.#probe();
    const timer = setInterval(() => {
      if (this.#isLooping) void this.#probe();
    }, RECHECK_MS);
    timer.unref();
    signal.addEventListener("abort", () => clearInterval(timer), { once: true });
  }

  async #probe(): Promise<void> {
    const { runtime, ask } = this.#context;
    const label = (): string => Math.floor(runtime.random() * LABEL_DIGITS).toString(36);
    const suffix = this.#zone === "." ? "" : this.#zone;
    this.#probeName = `${label()}.${label()}.${suffix}`;
    this.#seen = 0;
    const question = { name: this.#probeName, type: TYPE.HINFO, class: CLASS.IN };
    const timeout = new Promise<void>((resolve) => setTimeout(resolve, PROBE_TIMEOUT_MS).unref());
    await Promise.race([ask(ownQuery(question, { server: "", zone: this.#zone, view: "" })), timeout]);
    const wasLooping = this.#isLooping;
    this.#isLooping = this.#seen > 1;
    if (this.#isLooping !== wasLooping) this.onChange?.(this.#isLooping);
    if (this.#isLooping && !wasLooping) {
      runtime.log.error(
        `plugin/loop: upstreams of zone "${this.#zone}" lead back to this server: forwarding is off until that ends`,
      );
    }
    if (!this.#isLooping && wasLooping)
      runtime.log.info("plugin/loop: the loop is gone, forwarding is on again");
    const gauge = runtime.metrics.gauge("nodeplane_dns_forward_loop", "1 while upstreams lead back to us.", [
      "zone",
    ]);
    gauge.child(this.#zone).value = this.#isLooping ? 1 : 0;
  }
}
