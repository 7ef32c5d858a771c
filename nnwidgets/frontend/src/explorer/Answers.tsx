import { CommandButton } from "../controls/Button";
import { HelpButton } from "../controls/Help";
import { words } from "../explorer_strings";
import type { Answers, Switched } from "../explorer_wire";
import { useExplorer } from "./contract";
import { FigureList } from "./Unit";

const percent = (share: number): string => `${(100 * Math.max(0, Math.min(1, share))).toFixed(2)}%`;

function Row({ row, other }: { row: Answers["rows"][number]; other: string }) {
  return (
    <li class={row.truth ? "answer truth" : row.mark ? "answer own" : "answer"}>
      <span class="who">{row.name} {row.mark && <span class="mark">{row.mark}</span>}</span>
      <span class="bars" aria-hidden="true">
        <i class="r-accent" style={{ width: percent(row.dense) }} />
        {other && <i class="r-alt second" style={{ width: percent(row.other ?? 0) }} />}
      </span>
      <span class="read">{row.text}</span>
    </li>
  );
}

/** The answers to the image: as the network is, and changed. */
export function AnswersCard() {
  const { answers } = useExplorer().shown;
  return (
    <section class="card answers" aria-label={words.answers} data-nnw-chart="answers">
      <div class="row head"><h3>{words.answers}</h3><HelpButton control="answers" label={words.answers} /></div>
      {answers ? <>
        <p class={`verdict r-${answers.role ?? "ink"}`} data-nnw-verdict="">{answers.verdict}</p>
        <ul>{answers.rows.map((row) => <Row key={row.name} row={row} other={answers.other_title} />)}</ul>
        {answers.other_title && <p class="key cap"><span class="r-accent"><i />{words.dense}</span><span class="r-alt"><i />{answers.other_title}</span></p>}
      </> : <p class="cap">{words.noAnswers}</p>}
    </section>
  );
}

type Item = Switched["items"][number];

/** The channels of each layer together, layers in the order in which they were first touched. */
export function byLayer(items: readonly Item[]): [string, Item[]][] {
  const found = new Map<string, Item[]>();
  for (const item of items) found.set(item.layer, [...(found.get(item.layer) ?? []), item]);
  return [...found];
}

function Chip({ item }: { item: Item }) {
  return (
    <li><span>{item.channel}</span>
      <CommandButton command="switch_on" mark={`switch_on ${item.layer} ${item.channel}`} args={{ layer: item.layer, channel: item.channel }} className="x" label={words.takeBack(item.label)}>
        <span aria-hidden="true">×</span>
      </CommandButton>
    </li>
  );
}

/** What is switched off, and what that costs. */
export function SwitchedCard() {
  const store = useExplorer();
  const switched = store.shown.switched;
  const items = switched?.items ?? [];
  return (
    <section class="card switched" aria-label={words.switched}>
      <div class="row head"><h3>{words.switched}</h3>
        {items.length > 1 ? <CommandButton command="switch_on_all" className="link">{words.allOn}</CommandButton> : <HelpButton control="switched" label={words.switched} />}
      </div>
      {items.length === 0 && <p class="cap">{words.noneOff}</p>}
      {byLayer(items).map(([layer, some]) => {
        const name = store.shown.tree?.find((node) => node.id === layer)?.path ?? layer;
        return (
          <div key={layer} class="off-in"><h4>{name}</h4>
            <ul class="chips" aria-label={name}>{some.map((item) => <Chip key={item.channel} item={item} />)}</ul>
          </div>
        );
      })}
      {switched && <FigureList figures={switched.figures} />}
      {switched?.text && <p class="cap">{switched.text}</p>}
    </section>
  );
}
