// The right: what is known of the chosen box, what was tested, what can be done.
import { words } from "../analysis_strings";
import type { Detail, Found } from "../analysis_wire";
import { ChartView } from "../chart/Chart";
import { CommandButton } from "../controls/Button";
import { HelpButton } from "../controls/Help";
import { plain } from "../shell/Note";
import { Attempt } from "./Attempt";
import { Badge } from "./Badge";
import { useAnalysis } from "./contract";
import { Remedies } from "./Remedies";

function Numbers({ numbers }: { numbers: Found["numbers"] }) {
  return (
    <details class="numbers">
      <summary class="cap">{words.numbers}</summary>
      <dl>{numbers.map(({ name, text }) => <div key={name}><dt>{name}</dt><dd>{text}</dd></div>)}</dl>
    </details>
  );
}

function Test({ found }: { found: Found }) {
  const store = useAnalysis();
  const untested = found.badge === "not tested";
  const verb = untested ? words.test : words.again;
  return (
    <li class="test" data-nnw-test={found.test}>
      <div class="row head">
        <span class="name">
          <b>{found.title}</b>
          <HelpButton control={found.test} label={found.title} text={{ what: found.method, source: found.source }} />
        </span>
        {found.can_run && (
          <CommandButton command="run_test" mark={`run_test ${found.test}`} args={{ test: found.test }}
            label={`${verb}: ${found.title}`} disabled={Boolean(store.get("task"))} className="small">
            {verb}
          </CommandButton>
        )}
      </div>
      <p>
        <Badge badge={found.badge} cost={untested ? found.cost : ""} text={found.text} />
        {!untested && found.cost && <span class="cap cost"> {found.cost}</span>}
      </p>
      {found.numbers.length > 0 && <Numbers numbers={found.numbers} />}
    </li>
  );
}

function Lead({ detail }: { detail: Detail }) {
  return (
    <div>
      {detail.family && <p class="family">{detail.family}</p>}
      <h3 class="title">{detail.title}</h3>
      {detail.lead && <p class={`lead r-${detail.role}`}>{detail.lead}</p>}
      {detail.confidence && <p class="cap" data-nnw-value="confidence" data-nnw-raw={plain(detail.confidence_raw)}>{detail.confidence}</p>}
    </div>
  );
}

export function DetailCard() {
  const store = useAnalysis();
  const detail = store.shown.detail;
  if (!detail) return <section class="card detail" aria-label={words.detail}><p class="cap">{words.noDetail}</p></section>;
  const faded = detail.leaf !== store.value("selected", detail.leaf);
  return (
    <section class={faded ? "card detail faded" : "card detail"} aria-label={detail.title || words.detail} aria-busy={faded} data-nnw-detail={detail.leaf}>
      <Lead detail={detail} />
      {detail.text && <p>{detail.text}</p>}
      {detail.chart && <ChartView name="evidence" chart={detail.chart} />}
      {detail.tests.length > 0 && <div><h4>{words.tests}</h4><ul>{detail.tests.map((found) => <Test key={found.test} found={found} />)}</ul></div>}
      {detail.action && <div><h4>{words.action}</h4><p>{detail.action}</p></div>}
      {detail.remedies.length > 0 && <Remedies remedies={detail.remedies} />}
      {detail.attempt && <div class="last"><h4>{words.lastAttempt}</h4><Attempt attempt={detail.attempt} /></div>}
    </section>
  );
}
