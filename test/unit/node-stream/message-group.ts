/** For tests of the node stream: one message with a whole group of changes. */
import {
  encodeBegin,
  encodeCommit,
  encodeRemove,
  encodeUpsert,
} from "../../../src/codec/stream/server-message.ts";
import type { FeedObject, ObjectKey } from "../../../src/model/objects.ts";

/** From revision 0: a snapshot. */
export function messageGroup(
  revision: number,
  from: number,
  changes: readonly (FeedObject | ObjectKey)[],
): Buffer {
  const fields = changes.map((change) => ("meta" in change ? encodeUpsert(change) : encodeRemove(change)));
  const begin = {
    revision,
    snapshot: from === 0,
    authoritative: true,
    fromRevision: from,
    changedAtMs: 0,
    epoch: from === 0 ? "e" : "",
  };
  return Buffer.concat([encodeBegin(begin), ...fields, encodeCommit({ revision, leftOut: 0 })]);
}
