/** What differs from run to run is replaced by a word: ages, random names and addresses, versions, padding. */
const RULES: readonly (readonly [RegExp, string])[] = [
  [/"?\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"?/g, "TIME"],
  [/\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g, "UID"],
  [/(resourceVersion"?: )"?\d+"?/g, "$1RV"],
  // Addresses of the upper band are chosen at random, those up to 10.96.0.255 are asked for.
  [/\b10\.(9[6-9]|10\d|11[01])\.\d+\.\d+\b/g, "CLUSTER-IP"],
  [/\b(shop|door|front|shop-door|quiet|kube-dns)-[a-z0-9]{5}\b/g, "$1-NAME"],
  [/:3[01]\d{3}\/|:32\d{3}\//g, ":NODEPORT/"],
  [/(?<=[\s(])\d+(h\d+m|m\d+s|[smh])(?=\s|$)/gm, "AGE"],
  [/(?<=\S) {2,}/g, "  "],
  [/ +$/gm, ""],
];
/** Addresses and ports that the script itself asks for stay as they are. */
const FIXED: readonly (readonly [string, string])[] = [
  ["10.96.0.10", "<dns-ip>"],
  ["10.96.0.1", "<api-ip>"],
  ["10.96.7.7", "<asked-ip>"],
  ["10.96.0.0/12", "<range>"],
  [":30080/", "<:asked-port/>"],
];

export function normalise(output: string): string {
  let text = output;
  for (const [from, to] of FIXED) text = text.replaceAll(from, to);
  for (const [pattern, to] of RULES) text = text.replace(pattern, to);
  for (const [from, to] of FIXED) text = text.replaceAll(to, from);
  return text.trimEnd();
}
