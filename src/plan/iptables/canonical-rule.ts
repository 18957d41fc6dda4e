/**
 * Layer plan. One spelling for a rule, whether we wrote it or iptables-save says it, so that rules in the kernel can be told
 * from those that differ. Pure. A spelling that is not known here makes equal rules look different, which costs a rewrite, never
 * the other way round. Source: iptables-save 1.8.9, both variants; kernel xt_statistic (probability in 31 bits).
 */

const PROBABILITY_UNIT = 0x8000_0000;
/** What iptables-save adds where a rule says nothing else. */
const DEFAULTS: ReadonlySet<string> = new Set([
  "--reject-with icmp-port-unreachable",
  "--reject-with icmp6-port-unreachable",
  "--rsource",
  "--mask 255.255.255.255",
  "--mask ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
]);

/** Words of a rule; what stands in quotes is one word, without them. */
function wordsOf(rule: string): readonly string[] {
  // Some matches print two blanks.
  if (!rule.includes('"')) return rule.split(/ +/);
  const words: string[] = [];
  let at = 0;
  while (at < rule.length) {
    const isQuoted = rule.charCodeAt(at) === 34;
    const from = isQuoted ? at + 1 : at;
    const found = rule.indexOf(isQuoted ? '"' : " ", from);
    const end = found < 0 ? rule.length : found;
    if (isQuoted || end > from) words.push(rule.slice(from, end));
    at = isQuoted ? end + 2 : end + 1;
  }
  return words;
}

function hex(value: string): string {
  return value
    .split("/")
    .map((part) => `0x${Number(part).toString(16)}`)
    .join("/");
}

function network(address: string): string {
  if (address.includes("/")) return address;
  return `${address}/${address.includes(":") ? 128 : 32}`;
}

/** An option with its value, or nothing where it says what is meant anyway. */
function spelled(option: string, value: string): string | undefined {
  switch (option) {
    case "-m":
      return undefined;
    case "-s":
    case "-d":
      return `${option} ${network(value)}`;
    case "--probability":
      return `${option} ${Math.round(Number(value) * PROBABILITY_UNIT)}`;
    case "--or-mark":
      return `--set-xmark ${hex(`${value}/${value}`)}`;
    case "--xor-mark":
      return `--set-xmark ${hex(`${value}/0`)}`;
    case "--mark":
    case "--set-xmark":
      return `${option} ${hex(value)}`;
    default: {
      const text = value === "" ? option : `${option} ${value}`;
      return DEFAULTS.has(text) ? undefined : text;
    }
  }
}

/** @param rule without `-A CHAIN `. Equal rules give equal texts. */
export function canonicalRule(rule: string): string {
  const options: string[] = [];
  const words = wordsOf(rule);
  let isNegated = false;
  for (let i = 0; i < words.length; i++) {
    const option = words[i] ?? "";
    if (option === "!") {
      isNegated = true;
      continue;
    }
    const next = words[i + 1];
    const hasValue = option === "--comment" || (next !== undefined && next !== "!" && !next.startsWith("-"));
    const text = spelled(option, hasValue ? (next ?? "") : "");
    if (hasValue) i++;
    if (text !== undefined) options.push(isNegated ? `! ${text}` : text);
    isNegated = false;
  }
  return options.sort().join("\n");
}

/** Whether the kernel's rules of a chain are those wanted, in this order. Cost O(rules). */
export function sameRules(found: readonly string[] | undefined, wanted: readonly string[]): boolean {
  if ((found?.length ?? 0) !== wanted.length) return false;
  return wanted.every((rule, i) => {
    const other = found?.[i] ?? "";
    return rule === other || canonicalRule(rule) === canonicalRule(other);
  });
}
