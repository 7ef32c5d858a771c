import { VERDICT_SIGNS, words } from "../analysis_strings";
import type { Attempted } from "../analysis_wire";

const ROLES: Record<Attempted["verdict"], string> = { confirmed: "good", refuted: "bad", "not established": "warn", start: "muted", measured: "muted" };

/** A sign and a word: confirmed, refuted, not established. */
export function Verdict({ verdict }: { verdict: Attempted["verdict"] }) {
  const sign = VERDICT_SIGNS[verdict];
  return (
    <span class={`verdict r-${ROLES[verdict]}`} data-nnw-verdict={verdict}>
      {sign && <i class="sign" aria-hidden="true">{sign}</i>}<b>{words.verdicts[verdict]}</b>
    </span>
  );
}

export function Attempt({ attempt }: { attempt: Attempted }) {
  return (
    <div class="attempt" data-nnw-attempt={attempt.id}>
      <p><b>{attempt.title}</b> <span class="cap">{attempt.change}</span></p>
      <p><Verdict verdict={attempt.verdict} /> {attempt.verdict_text}</p>
      {attempt.note && <p class="cap">{attempt.note}</p>}
    </div>
  );
}
