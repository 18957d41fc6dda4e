/** Packet cases: by what all waiting is multiplied; NODEPLANE_TEST_PATIENCE (1 to 20) where the processor is emulated. */
const given = Number(process.env["NODEPLANE_TEST_PATIENCE"] ?? "1");
export const PATIENCE = given >= 1 && given <= 20 ? given : 1;
