/** Layer drivers. Links, addresses and default routes of this network namespace; one dummy device that we write. */
export type { Network, RtnetlinkDriver } from "./driver.ts";
export type { DummyDriver } from "./dummy.ts";
export { FakeRtnetlink } from "./fake.ts";
export { FakeDummy } from "./fake-dummy.ts";
export { LinuxRtnetlink, primaryAddresses } from "./linux.ts";
export { LinuxDummy } from "./linux-dummy.ts";
