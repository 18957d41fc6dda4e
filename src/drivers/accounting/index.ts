/** Layer drivers. What others may import of the accounting driver. */
export type { AccountingDriver } from "./driver.ts";
export { FakeAccounting } from "./fake.ts";
export { LinuxAccounting } from "./linux.ts";
