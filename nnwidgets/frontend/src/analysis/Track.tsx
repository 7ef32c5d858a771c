// Every attempt: what was changed, what came of it.
import { words } from "../analysis_strings";
import type { Attempted } from "../analysis_wire";
import { CommandButton } from "../controls/Button";
import { HelpButton } from "../controls/Help";
import { useAnalysis } from "./contract";
import { Verdict } from "./Attempt";

function Row({ attempt }: { attempt: Attempted }) {
  return (
    <tr class={attempt.current ? "current" : ""} aria-current={attempt.current ? "true" : undefined} data-nnw-attempt={attempt.id}>
      <th scope="row"><b>{attempt.id}. {attempt.title}</b><span class="cap">{[attempt.change, attempt.note].filter(Boolean).join("; ")}</span></th>
      <td>{[attempt.before, attempt.after].filter(Boolean).join(" → ")}</td>
      <td>{attempt.train}</td>
      <td>{attempt.test}</td>
      <td class="words"><Verdict verdict={attempt.verdict} /><span class="cap">{attempt.verdict_text}</span></td>
      <td class="words cap">{attempt.cost}</td>
      <td>
        {attempt.current ? <span class="shown">✓ {words.shown}</span>
          : (
            <CommandButton command="adopt" mark={`adopt ${attempt.id}`} args={{ id: attempt.id }} label={words.showThis(attempt.title)}>
              {words.show}
            </CommandButton>
          )}
      </td>
    </tr>
  );
}

export function Track() {
  const store = useAnalysis();
  const track = store.shown.track ?? [];
  if (track.length === 0) return null;
  return (
    <section class="card attempts" aria-label={words.track} data-nnw-track="">
      <div class="row head"><span class="name"><h3>{words.track}</h3><HelpButton control="track" label={words.track} /></span></div>
      <p class="cap">{track.length > 1 ? words.trackHint : words.trackEmpty}</p>
      <div class="scroll" tabIndex={0} role="group" aria-label={words.trackTable}>
        <table>
          <thead><tr>{words.trackColumns.map((name) => <th key={name} scope="col">{name}</th>)}</tr></thead>
          <tbody>{track.map((attempt) => <Row key={attempt.id} attempt={attempt} />)}</tbody>
        </table>
      </div>
    </section>
  );
}
