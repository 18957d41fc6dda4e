/**
 * The script of commands and what they must print: blocks of a line that begins with `$` and the output behind it.
 * `$` is for every kubectl, `$+` for 1.27 and newer. A failing command's output ends with `[status N]`.
 */
import { execFile } from "node:child_process";
import { normalise } from "./normalise.ts";

export interface Step {
  readonly line: number;
  readonly command: string;
  readonly isForAll: boolean;
  readonly expected: string;
  /** Comment lines in front of it. */
  readonly comments: readonly string[];
}

export function parseScript(text: string): readonly Step[] {
  const steps: (Step & { output: string[] })[] = [];
  let comments: string[] = [];
  text.split("\n").forEach((line, index) => {
    const match = /^\$(\+?) (.*)$/.exec(line);
    if (match !== null) {
      const [, plus, command = ""] = match;
      steps.push({ line: index + 1, command, isForAll: plus === "", expected: "", comments, output: [] });
      comments = [];
    } else if (line.startsWith("# ")) comments.push(line);
    else steps.at(-1)?.output.push(line);
  });
  return steps.map(({ output, ...step }) => ({ ...step, expected: output.join("\n").trimEnd() }));
}

export function formatScript(steps: readonly Step[]): string {
  const blocks = steps.map(({ command, isForAll, expected, comments }) =>
    [...comments, `${isForAll ? "$" : "$+"} ${command}`, ...(expected === "" ? [] : [expected])].join("\n"),
  );
  return `${blocks.join("\n")}\n`;
}

/** Runs one command line in a shell. @returns its normalised output, standard output before standard error */
export async function runStep(
  command: string,
  options: { readonly cwd: string; readonly env: Readonly<Record<string, string>> },
): Promise<string> {
  return await new Promise((resolve) => {
    const settings = { ...options, timeout: 60_000, maxBuffer: 16 * 1024 * 1024 };
    execFile("/bin/sh", ["-c", command], settings, (error, stdout, stderr) => {
      const status = error === null ? "" : `\n[status ${error.code ?? "killed"}]`;
      resolve(normalise(`${stdout.trimEnd()}\n${stderr.trimEnd()}`.trim() + status).trimStart());
    });
  });
}
