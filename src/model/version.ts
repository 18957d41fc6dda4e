/** Layer model. The version of nodeplane and of the Kubernetes API that it speaks. */
export const VERSION = "0.1.0";
/** What `/version` reports: clients compare it with their own (kubectl accepts one minor up or down). */
export const KUBERNETES_VERSION = { major: "1", minor: "33", patch: "0" } as const;
