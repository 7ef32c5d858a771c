import { useState } from "preact/hooks";
import { Boundary } from "../Boundary";
import { useChanges } from "../controls/useStore";
import type { LabStore } from "../lab";
import { Banners } from "../shell/Banners";
import { Live } from "../shell/Live";
import { Shell, typing, wordOf } from "../shell/Shell";
import { strings } from "../strings";
import { Charts } from "./Charts";
import { Arithmetic } from "./Arithmetic";
import { FewerBits } from "./FewerBits";
import { AllFigures, Figures, MAIN } from "./Figures";
import { Files } from "./Files";
import { Layers } from "./Layers";
import { Lottery } from "./Lottery";
import { Pruning } from "./Pruning";
import { Quantization } from "./Quantization";
import { Recover } from "./Recover";
import { Remedies } from "./Remedies";
import { Rounding } from "./Rounding";
import { Skeleton } from "./Skeleton";
import { Toolbar } from "./Toolbar";

/** Ctrl+Z and Ctrl+Shift+Z step through the history. */
function onKey(event: KeyboardEvent, store: LabStore): void {
  if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z" || typing(event)) return;
  const history = store.get("history");
  if (event.shiftKey ? history?.can_redo : history?.can_undo) store.command(event.shiftKey ? "redo" : "undo");
  event.preventDefault();
  event.stopPropagation();
}

/** The figures, for the live region. */
const sentenceOf = (store: LabStore): string =>
  MAIN.map(({ name, title }) => {
    const figure = store.shown.figures[name];
    return figure && figure.raw !== null && strings.said(title, figure.value, figure.unit);
  }).filter(Boolean).join(". ");

export function App({ store }: { store: LabStore }) {
  useChanges(store);
  const [large, setLarge] = useState(false);
  const [byHand, setByHand] = useState(false);
  const [choose] = useState(() => (id: string): void => store.set("selected_layer", id));
  return (
    <Shell store={store} kind="compression-lab" name={store.get("about")?.title || strings.name} large={large} onKey={(event) => onKey(event, store)}>
      {() => (
        <>
          <Toolbar word={wordOf(store)} large={large} onLarge={setLarge} />
          <Banners />
          <Boundary mark={store.shown.seq} message={strings.drawFailed}>{store.shown.loaded ? (
            <div class="body" key={String(large)}>
              <div class="controls" role="group" aria-label={strings.controls}>
                <Pruning onByHand={() => setByHand(true)} />
                <Quantization />
                <Recover />
              </div>
              <div class="results">
                <Figures />
                <AllFigures />
                <Charts choose={choose} />
                <Layers open={byHand} onToggle={setByHand} />
                <Rounding />
                <Remedies />
                <FewerBits />
                <Arithmetic />
                <Lottery />
                <Files />
              </div>
            </div>
          ) : <Skeleton />}</Boundary>
          <Live sentence={sentenceOf(store)} />
        </>
      )}
    </Shell>
  );
}
