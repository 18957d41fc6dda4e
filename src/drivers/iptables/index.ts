/** Layer drivers. What others may import of the iptables driver. */
export type { IptablesDriver, RestoreResult } from "./driver.ts";
export { FakeIptables } from "./fake.ts";
export { LinuxIptables } from "./linux.ts";
