/** Layer drivers. The kernel's IPVS. */
export type { IpvsDriver } from "./driver.ts";
export { FakeIpvs } from "./fake.ts";
export { LinuxIpvs } from "./linux.ts";
