/** Layer feed. Makes a list of refused objects fit into one message. */
import type { ObjectProblem } from "../../model/objects.ts";

const MAX_BYTES = 200 * 1024;
const MAX_TEXT = 1000;

/** The first objects that fit, with texts cut; the last one says how many more there are. */
export function fitRefused(refused: readonly ObjectProblem[]): readonly ObjectProblem[] {
  const fitting: ObjectProblem[] = [];
  let bytes = 0;
  for (const [index, problem] of refused.entries()) {
    const cut = {
      ...problem,
      field: problem.field.slice(0, MAX_TEXT),
      message: problem.message.slice(0, MAX_TEXT),
    };
    bytes += Buffer.byteLength(JSON.stringify(cut));
    if (bytes > MAX_BYTES) {
      const message = `${refused.length - index} more refused objects are not listed`;
      fitting.push({ ...problem, reason: "TooManyRefused", field: "", message });
      break;
    }
    fitting.push(cut);
  }
  return fitting;
}
