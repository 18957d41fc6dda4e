/**
 * Layer control-plane. Runs the controllers while this process holds the Lease `kube-system/nodeplane-controllers`.
 */
import { createSystemNamespaces } from "./bootstrap/namespaces.ts";
import type { Controller, ControllerContext, ControllerDeps } from "./controller.ts";
import { EventRecorder } from "./events/recorder.ts";
import { Informers } from "./framework/informers.ts";
import { runWhileLeading } from "./framework/leader-election.ts";
import { CONTROLLERS } from "./index.ts";

const LEASE = { namespace: "kube-system", name: "nodeplane-controllers" };
const RESTART_MS = 1_000;

/** Works until `signal` aborts, then resolves with everything stopped and the Lease given back. */
export async function runControllers(
  deps: ControllerDeps,
  signal: AbortSignal,
  controllers: readonly Controller[] = CONTROLLERS,
): Promise<void> {
  await bootstrap(deps, signal);
  const { client, clock, log, identity } = deps;
  const lead = async (term: AbortSignal): Promise<void> => {
    const informers = new Informers({ client, clock, log }, term);
    const events = new EventRecorder({ client, clock, log });
    const context: ControllerContext = { ...deps, informers, events };
    await Promise.all(controllers.map((controller) => keepRunning(controller, context, term)));
    await Promise.all([informers.finished(), events.settled()]);
  };
  await runWhileLeading({ client, clock, log, identity, ...LEASE }, lead, signal);
}

async function bootstrap({ client, clock, log }: ControllerDeps, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      await createSystemNamespaces(client);
      return;
    } catch (error) {
      log.warn({ error: String(error) }, "cannot create the system namespaces; trying again");
      await clock.sleep(RESTART_MS, signal);
    }
  }
}

async function keepRunning(
  controller: Controller,
  context: ControllerContext,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    try {
      await controller.run(context, signal);
    } catch (error) {
      context.log.error(
        { controller: controller.name, error: String(error) },
        "controller failed; restarting",
      );
    }
    if (!signal.aborted) await context.clock.sleep(RESTART_MS, signal);
  }
}
