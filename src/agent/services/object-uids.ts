/** Layer agent. The uids of Services, for events about them: what kubectl finds an object's events by. */
import type { FeedBatch, FeedListener } from "../../feed/feed.ts";
import type { FeedObject, ObjectKey } from "../../model/objects.ts";

export class ObjectUids implements FeedListener {
  #services = new Map<string, string>();

  begin(batch: FeedBatch): void {
    if (batch.snapshot) this.#services = new Map();
  }

  upsert(object: FeedObject): void {
    if (object.kind === "Service")
      this.#services.set(`${object.meta.namespace}/${object.meta.name}`, object.meta.uid);
  }

  remove(key: ObjectKey): void {
    if (key.kind === "Service") this.#services.delete(`${key.namespace}/${key.name}`);
  }

  commit(): void {}

  /** Empty when it is not known. */
  get(key: ObjectKey): string {
    return key.kind === "Service" ? (this.#services.get(`${key.namespace}/${key.name}`) ?? "") : "";
  }
}
