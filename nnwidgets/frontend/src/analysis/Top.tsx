// The line at the top, and the one below it that says what is being done.
import { words } from "../analysis_strings";
import { CommandButton } from "../controls/Button";
import { Select } from "../controls/Select";
import { Bar } from "../shell/Bar";
import type { Size } from "../shell/MenuParts";
import { Progress } from "../shell/Progress";
import { wordOf } from "../shell/Shell";
import type { Value } from "../wire";
import { useAnalysis } from "./contract";
import { Menu } from "./Menu";
import { PracticeButton } from "./Practice";

function Budget() {
  const store = useAnalysis();
  const choices = store.get("options")?.budget ?? [];
  if (choices.length === 0) return null;
  const onValue = (value: Value): void => store.set("budget", Number(value));
  return <Select control="budget" label={words.budget} choices={choices} value={store.value("budget", 60)} onValue={onValue} />;
}

export function Top({ title, ...size }: Size & { title: string }) {
  const store = useAnalysis();
  const { about, flow, loaded, practice } = store.shown;
  const recorded = store.get("recorded");
  return (
    <Bar title={title} subtitle={about?.subtitle} word={wordOf(store)} rest={words.ready}>
      {recorded && <span class="pill r-warn" data-nnw-recorded="">{recorded}</span>}
      <CommandButton command="run_all" disabled={Boolean(store.get("task")) || !loaded} className="main">
        {about?.all_cost ? words.testAllFor(about.all_cost) : words.testAll}
      </CommandButton>
      <Budget />
      {flow?.nodes.some((node) => node.place === 1) && (
        <CommandButton command="apply_advised" disabled={Boolean(store.get("task"))}>{words.tryAdvice}</CommandButton>
      )}
      {(!practice || practice.state === "off") && <PracticeButton />}
      <Menu {...size} />
    </Bar>
  );
}

/** Always there: the work that runs, else what the last one said, else how the keys go. */
export function TaskLine() {
  const store = useAnalysis();
  const [task, last, about] = [store.get("task"), store.get("last_task"), store.shown.about];
  return (
    <div class="taskline">
      {task ? <Progress task={task} /> : <p class={`cap grow r-${(last?.text && last.role) || "muted"}`}>{last?.text || words.hint}</p>}
      {!task && about && about.looks > 0 && <span class="cap" data-nnw-value="looks" data-nnw-raw={about.looks}>{words.looks(about.looks)}</span>}
    </div>
  );
}

/** While the hall votes. */
export function HallBanner() {
  const store = useAnalysis();
  if (!store.get("hidden")) return null;
  return (
    <div class="banner r-accent" role="status" data-nnw-hall="">
      <div class="row">
        <p><b class="lead">{words.hiddenNow}</b> {words.hiddenHow}</p>
        <CommandButton command="reveal" className="main">{words.reveal}</CommandButton>
      </div>
    </div>
  );
}
