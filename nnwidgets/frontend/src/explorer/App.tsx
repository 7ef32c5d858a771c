import { useState } from "preact/hooks";
import { Boundary } from "../Boundary";
import { useBox } from "../chart/useBox";
import { Check } from "../controls/Check";
import { Popover } from "../controls/Popover";
import { useChanges } from "../controls/useStore";
import { words } from "../explorer_strings";
import { Banners } from "../shell/Banners";
import { Bar } from "../shell/Bar";
import { Live } from "../shell/Live";
import { Code, SaveFigure, Screen, type Size } from "../shell/MenuParts";
import { Progress } from "../shell/Progress";
import { Shell, wordOf } from "../shell/Shell";
import { strings } from "../strings";
import { AnswersCard, SwitchedCard } from "./Answers";
import { useExplorer, type ExplorerStore } from "./contract";
import { InputCard } from "./InputCard";
import { Middle } from "./Middle";
import { Picture } from "./Picture";
import { Tree } from "./Tree";
import { UnitCard } from "./Unit";

const NARROW = 58; // em: below it the input and the tree fold into a bar

function Menu(size: Size) {
  return (
    <Popover className="icon" label={words.more} name={words.more} action="menu" text={<span aria-hidden="true">⋯</span>}>
      {() => <div class="menu"><Code /><SaveFigure /><Screen {...size} /></div>}
    </Popover>
  );
}

/** One line that is always there: the work that runs, else what the last one said, else how the keys go. */
function TaskLine() {
  const store = useExplorer();
  const [task, last] = [store.get("task"), store.get("last_task")];
  return (
    <div class="taskline">
      {task ? <Progress task={task} /> : <p class={`cap r-${(last?.text && last.role) || "muted"}`}>{last?.text || words.hint}</p>}
    </div>
  );
}

function Left({ dark }: { dark: boolean }) {
  const store = useExplorer();
  const [onLayer] = useState(() => (id: string): void => store.set("layer", id));
  return (
    <div class="left">
      <InputCard dark={dark} />
      <Tree nodes={store.shown.tree ?? []} layer={store.value("layer", "")} busy={Boolean(store.get("task"))} onLayer={onLayer} />
    </div>
  );
}

/** In a narrow place: image and layer in one line, all the rest of the left one click away. */
function Folded({ dark }: { dark: boolean }) {
  const store = useExplorer();
  const { input, tree } = store.shown;
  const layer = store.value("layer", "");
  const node = tree?.find((each) => each.id === layer);
  return (
    <details class="card folded" data-nnw-folded="">
      <summary>
        {input && <span class="thumb"><Picture raster={input.raster} dark={dark} most={3.4} /></span>}
        <span class="grow"><b>{node?.path || node?.name || layer}</b><span class="cap">{input?.title}</span></span>
        <span class="cap">{words.chooser}</span>
      </summary>
      <Left dark={dark} />
    </details>
  );
}

function Skeleton() {
  return (
    <div class="skeleton">
      <p class="cap">{words.loading}</p>
      <div class="explorer" aria-hidden="true">
        <div class="left"><div class="card"><i class="plot" /><i /><i class="short" /></div></div>
        <div class="middle"><div class="coming">{Array.from({ length: 40 }, (_, i) => <i key={i} />)}</div></div>
        <div class="right"><div class="card"><i class="short" /><i class="plot" /><i /></div></div>
      </div>
    </div>
  );
}

function Body({ dark }: { dark: boolean }) {
  const { unit } = useExplorer().shown;
  const [ref, box] = useBox();
  const narrow = box !== null && box.width / box.em < NARROW;
  return (
    <div ref={ref}>
      {box && (
        <div class="explorer">
          {narrow ? <Folded dark={dark} /> : <Left dark={dark} />}
          <Middle dark={dark} />
          <div class="right">
            <Boundary mark={unit} message={strings.drawFailed}><UnitCard dark={dark} /></Boundary>
            <AnswersCard />
            <SwitchedCard />
          </div>
        </div>
      )}
    </div>
  );
}

const sentenceOf = (store: ExplorerStore): string => [store.shown.panel?.title, store.shown.unit?.title, store.shown.answers?.verdict].filter(Boolean).join(". ");

export function App({ store }: { store: ExplorerStore }) {
  useChanges(store);
  const [large, setLarge] = useState(false);
  const { about, loaded, seq } = store.shown;
  const name = about?.title || words.name;
  return (
    <Shell store={store} kind="layer-explorer" name={name} large={large}>
      {({ dark }) => (
        <>
          <Bar title={name} subtitle={about?.subtitle} word={wordOf(store)} rest={words.ready}>
            <Check control="compare" label={words.compare} className="chip" value={store.value("compare", false)} onValue={(value) => store.set("compare", value)} />
            <Menu large={large} onLarge={setLarge} />
          </Bar>
          <TaskLine />
          <Banners />
          <Boundary mark={seq} message={strings.drawFailed}>{loaded ? <Body key={String(large)} dark={dark} /> : <Skeleton />}</Boundary>
          <Live sentence={sentenceOf(store)} />
        </>
      )}
    </Shell>
  );
}
