/** Layer drivers. The connection tracking table. */
export type { ConntrackDriver, Flow } from "./driver.ts";
export { FLOW_STATUS } from "./driver.ts";
export { FakeConntrack } from "./fake.ts";
export { LinuxConntrack } from "./linux.ts";
