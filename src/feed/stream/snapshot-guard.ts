/**
 * Layer feed. Decides whether a snapshot may take the place of what is known: one that would remove most Services and
 * EndpointSlices is refused, unless the server marks it as authoritative. It protects nodes from a control plane that
 * came up with an empty or a foreign store.
 */
import { decodeObjectKey } from "../../codec/stream/decode-object.ts";
import { visitServerMessage } from "../../codec/stream/server-message.ts";
import { formatKey, type ObjectKey } from "../../model/objects.ts";

const guards = (key: ObjectKey): boolean => key.kind === "Service" || key.kind === "EndpointSlice";

export class SnapshotGuard {
  readonly #offered = new Set<string>();

  /** Notes what a message of the snapshot offers. */
  learn(message: Buffer): void {
    visitServerMessage(message, {
      upsert: (bytes, start, end) => {
        const key = decodeObjectKey(bytes, start, end);
        if (key !== undefined && guards(key)) this.#offered.add(formatKey(key));
      },
    });
  }

  /** @returns why the snapshot is refused, or `undefined` when it may be taken */
  async refusal(known: AsyncIterable<ObjectKey>): Promise<string | undefined> {
    let count = 0;
    let gone = 0;
    for await (const key of known) {
      if (!guards(key)) continue;
      count++;
      if (!this.#offered.has(formatKey(key))) gone++;
    }
    if (gone * 2 <= count) return undefined;
    return `a snapshot would remove ${gone} of ${count} Services and EndpointSlices and is not marked as authoritative; what is known stays`;
  }
}
