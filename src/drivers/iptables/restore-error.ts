/** Layer drivers. What the words of a failed iptables-restore say: which line, and why. Pure. */
const LINE_PATTERNS: readonly RegExp[] = [
  // Parse errors, both variants: "Error occurred at line: 7".
  /Error occurred at line: (\d+)/,
  // legacy: "iptables-restore: line 7 failed"; nft: "line 7: RULE_APPEND failed (No such file or directory): …".
  /(?:^|\s)line (\d+)(?::| failed)/m,
];
const MAX_MESSAGE = 500;

/** @returns the line of the input, from 1, when one is named, and the message on one line */
export function readRestoreError(stderr: string): { readonly line?: number; readonly message: string } {
  const message = stderr
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("Try `") && !line.startsWith("# Warning"))
    .join("; ")
    .slice(0, MAX_MESSAGE);
  for (const pattern of LINE_PATTERNS) {
    const match = pattern.exec(stderr);
    if (match !== null) return { line: Number(match[1]), message };
  }
  return { message: message === "" ? "no reason given" : message };
}
