/** Layer lab. How the demo talks: headings with the time since the start, indented lines, shares as bars; colours only on a terminal. */
export interface Narrator {
  readonly heading: (text: string) => void;
  readonly line: (text: string) => void;
  /** A command as a person would type it. */
  readonly command: (text: string) => void;
  /** A claim that was measured. */
  readonly result: (text: string) => void;
}

export function narrator(out: (text: string) => void, colours: boolean, now: () => number): Narrator {
  const begun = now();
  const paint = (code: string, text: string): string => (colours ? `\u001b[${code}m${text}\u001b[0m` : text);
  return {
    heading: (text) => {
      const seconds = ((now() - begun) / 1000).toFixed(1).padStart(5);
      out(`\n${paint("2", `[${seconds} s]`)} ${paint("1;36", text)}\n`);
    },
    line: (text) => out(`          ${text}\n`),
    command: (text) => out(`          ${paint("33", `$ ${text}`)}\n`),
    result: (text) => out(`        ${paint("32", "✔")} ${text}\n`),
  };
}

/** `web-1 ██████████ 25.1 %` for each name; `total` is what 100 % is. */
export function shareLines(counts: Readonly<Record<string, number>>, total: number): readonly string[] {
  const width = Math.max(...Object.keys(counts).map((name) => name.length), 1);
  return Object.entries(counts).map(([name, count]) => {
    const percent = total === 0 ? 0 : (count * 100) / total;
    return `${name.padEnd(width)} ${"█".repeat(Math.round(percent / 2.5)).padEnd(16)} ${percent.toFixed(1).padStart(5)} %`;
  });
}
