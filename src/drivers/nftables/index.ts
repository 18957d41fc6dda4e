/** Layer drivers. nf_tables: the interface, the real driver and the one for tests. */
export type { NftDriver } from "./driver.ts";
export { FakeNft, FakeNftKernel } from "./fake.ts";
export { LinuxNft } from "./linux.ts";
