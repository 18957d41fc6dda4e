/** Layer drivers. Links, addresses and default routes of this network namespace. */
export type { Network, RtnetlinkDriver } from "./driver.ts";
export { FakeRtnetlink } from "./fake.ts";
export { LinuxRtnetlink, primaryAddresses } from "./linux.ts";
