/** Test code. How slow the machine may be. NODEPLANE_TEST_PATIENCE (1 to 50) says it, where the processor is emulated. */
const given = Number(process.env["NODEPLANE_TEST_PATIENCE"] ?? "1");

/** By what deadlines are multiplied: they cost nothing unless something fails. */
export const PATIENCE = given >= 1 && given <= 50 ? given : 1;

/** By what is multiplied what a test waits for in full: silence, timeouts under test, periods of the agent. */
export const STRETCH = Math.min(PATIENCE, 4);
