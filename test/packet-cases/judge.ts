/** Packet cases: what was seen against what is expected. Pure. */
import type { Expectation } from "./case-file.ts";
import type { Outcomes } from "./netprobe.ts";

export interface Answer {
  /** `backend`, or `none` for a listener that only gets packets that nobody captured. */
  readonly label: string;
  readonly own: string;
  readonly peer: string;
  readonly count: number;
}

export interface Evidence {
  readonly outcomes: Outcomes;
  /** Outcomes of probes that must answer: they show that silence is no accident. */
  readonly controls: readonly Outcomes[];
  readonly clientAddress: string;
  readonly nodeAddresses: readonly string[];
}

/** So many standard deviations may a share be off: less than one false alarm in a hundred million. */
const SIGMAS = 6;

export function answersIn(outcomes: Outcomes): readonly Answer[] {
  return Object.entries(outcomes).flatMap(([outcome, count]) => {
    const [word, label, own, peer] = outcome.split(" ");
    if (word !== "answer" || label === undefined || own === undefined || peer === undefined) return [];
    return [{ label, own, peer, count }];
  });
}

/** Who got through to a server that waits for the client to speak first: nothing, or that it has waited long enough. */
function isWaitedFor(outcome: string): boolean {
  return outcome === "connected" || outcome.startsWith("answer HTTP/1.1 408 ");
}

function total(outcomes: Outcomes): number {
  return Object.values(outcomes).reduce((sum, count) => sum + count, 0);
}

/** All outcomes as text, the most frequent first. */
export function outcomesText(outcomes: Outcomes): string {
  const sorted = Object.entries(outcomes).sort(([, a], [, b]) => b - a);
  return sorted.map(([outcome, count]) => `${count} x ${outcome}`).join(", ") || "nothing";
}

function only(outcomes: Outcomes, wanted: string): string | undefined {
  return outcomes[wanted] === total(outcomes) && total(outcomes) > 0
    ? undefined
    : `not every attempt was "${wanted}"`;
}

function backends(expect: Expectation, evidence: Evidence): string | undefined {
  const answers = answersIn(evidence.outcomes);
  const all = total(evidence.outcomes);
  const byBackend = new Map<string, number>();
  for (const answer of answers) {
    if (answer.label !== "backend") return `answered by a listener that only sees packets left alone`;
    byBackend.set(answer.own, (byBackend.get(answer.own) ?? 0) + answer.count);
  }
  const wrong = [...byBackend.keys()].filter((own) => !expect.backends.includes(own));
  if (wrong.length > 0) return `answered by ${wrong.join(", ")}`;
  if (answers.reduce((sum, answer) => sum + answer.count, 0) !== all) return "not every attempt was answered";
  const missing = expect.backends.filter((own) => !byBackend.has(own));
  if (missing.length > 0) return `never answered by ${missing.join(", ")}`;
  const share = 1 / expect.backends.length;
  const tolerance = SIGMAS * Math.sqrt(all * share * (1 - share));
  const uneven = [...byBackend].filter(([, count]) => Math.abs(count - all * share) > tolerance);
  if (uneven.length > 0)
    return `uneven shares: ${uneven.map(([own, count]) => `${own} ${count} of ${all}`).join(", ")}`;
  return sourceSeen(expect, answers, evidence);
}

function sourceSeen(expect: Expectation, answers: readonly Answer[], evidence: Evidence): string | undefined {
  if (expect.masq === undefined) return undefined;
  const allowed = expect.masq ? evidence.nodeAddresses : [evidence.clientAddress];
  const other = answers.find((answer) => !allowed.includes(answer.peer));
  if (other === undefined) return undefined;
  return `${other.own} saw ${other.peer}, which is not ${expect.masq ? "an address of the node" : "the client's address"}`;
}

/** A packet that was left alone arrives where routing takes it, unchanged. */
function leftAlone(evidence: Evidence): string | undefined {
  if (evidence.outcomes["echo"] !== undefined) return only(evidence.outcomes, "echo");
  const answers = answersIn(evidence.outcomes);
  const bad = answers.find((answer) => answer.label !== "none" || answer.peer !== evidence.clientAddress);
  if (bad !== undefined) return `answered by ${bad.label} ${bad.own}, which saw ${bad.peer}`;
  const answered = answers.reduce((sum, answer) => sum + answer.count, 0);
  return answered === total(evidence.outcomes) && answered > 0 ? undefined : "not every attempt was answered";
}

function silence(evidence: Evidence): string | undefined {
  for (const control of evidence.controls) {
    if (answersIn(control).length === 0)
      return `the control probe was not answered: ${outcomesText(control)}`;
  }
  return only(evidence.outcomes, "timeout");
}

/** @returns why the evidence does not meet the expectation, or `undefined` when it does */
export function judge(expect: Expectation, evidence: Evidence): string | undefined {
  switch (expect.result) {
    case "BACKENDS":
      return backends(expect, evidence);
    case "REJECT":
      return only(evidence.outcomes, "refused");
    case "DROP":
      return silence(evidence);
    case "ACCEPT":
      return total(evidence.outcomes) > 0 && Object.keys(evidence.outcomes).every(isWaitedFor)
        ? undefined
        : leftAlone(evidence);
    case "NONE":
      return leftAlone(evidence);
    default:
      return expect.result satisfies never;
  }
}

export function expectationText(expect: Expectation): string {
  const source =
    expect.masq === undefined ? "" : expect.masq ? ", source masqueraded" : ", source the client's own";
  return `${expect.result}${expect.backends.length === 0 ? "" : ` ${expect.backends.join(" ")}`}${source}`;
}
