/** A process for the SIGKILL test: writes differences (and now and then a snapshot) as fast as it can until it is killed. */
import { DiskStateStore } from "../../../src/feed/stream/disk-state-store.ts";
import { messageGroup } from "./message-group.ts";
import { service } from "./stream-fixture.ts";

const store = new DiskStateStore(
  process.argv[2] ?? "",
  (error) => {
    throw error;
  },
  3000,
);

/** Object sN is at the newest revision that ends in N. */
const at = (revision: number) =>
  Array.from({ length: 10 }, (_, digit) => {
    const newest = revision - ((revision - digit + 10) % 10);
    return service(`s${digit}`, "10.96.0.1", `-${Math.max(newest, 0)}`);
  });

async function putSnapshot(revision: number): Promise<void> {
  await store.beginSnapshot("Service");
  await store.addToSnapshot(messageGroup(revision, 0, at(revision)));
  await store.commitSnapshot();
}

const kept = await store.load();
let revision = kept?.revision ?? 1;
if (kept === undefined) await putSnapshot(revision);
process.stdout.write("ready\n");
for (;;) {
  revision++;
  store.append([
    messageGroup(revision, revision - 1, [service(`s${revision % 10}`, "10.96.0.1", `-${revision}`)]),
  ]);
  if (revision % 500 === 0) await putSnapshot(revision);
  await new Promise((resolve) => setImmediate(resolve));
}
