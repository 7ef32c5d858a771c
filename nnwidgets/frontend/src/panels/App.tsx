import { useEffect, useState } from "preact/hooks";
import { StoreContext, useChanges } from "../controls/useStore";
import type { Store } from "../store";
import { strings } from "../strings";
import { watchTheme, type Theme } from "../theme";
import { Charts } from "./Charts";
import { Boundary } from "../Boundary";
import { Banners } from "./Errors";
import { AllFigures, Figures } from "./Figures";
import { Layers } from "./Layers";
import { Live } from "./Live";
import { Pruning } from "./Pruning";
import { Quantization } from "./Quantization";
import { Recover } from "./Recover";
import { Skeleton } from "./Skeleton";
import { Toolbar, type Word } from "./Toolbar";

function wordOf(store: Store): Word {
  if (store.link !== "live") return "disconnected";
  const status = store.get("status");
  if (status === "error" || store.get("error")) return "error";
  if (!store.shown.loaded) return "starting";
  return status === "running" || store.get("task") ? "computing" : "exact";
}

const typing = (event: KeyboardEvent): boolean =>
  event.target instanceof Element && event.target.matches("textarea, input[type=text], input[type=number]");

/** Ctrl+Z and Ctrl+Shift+Z step through the history. Keys that are used here do not reach the notebook; Tab and its own combinations do. */
function onKeys(event: KeyboardEvent, store: Store): void {
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z" && !typing(event)) {
    const history = store.get("history");
    if (event.shiftKey ? history?.can_redo : history?.can_undo) store.command(event.shiftKey ? "redo" : "undo");
    event.preventDefault();
    event.stopPropagation();
  }
  if (event.key !== "Tab" && !event.ctrlKey && !event.metaKey && !event.altKey) event.stopPropagation();
}

export function App({ store }: { store: Store }) {
  useChanges(store);
  const [theme, setTheme] = useState<Theme>({ dark: false, contrast: false });
  const [large, setLarge] = useState(false);
  const [byHand, setByHand] = useState(false);
  const [choose] = useState(() => (id: string): void => store.set("selected_layer", id));
  useEffect(() => watchTheme((next) => setTheme((old) => (old.dark === next.dark && old.contrast === next.contrast ? old : next))), []);
  const { loaded, seq } = store.shown;
  const word = wordOf(store);
  return (
    <StoreContext.Provider value={store}>
      <section class="nnw" aria-label={store.get("about")?.title || strings.name} aria-busy={!loaded}
        data-nnw="compression-lab" data-nnw-status={store.get("status") ?? "idle"} data-nnw-seq={seq} data-nnw-ready={loaded}
        data-theme={theme.dark ? "dark" : "light"} data-contrast={theme.contrast ? "more" : undefined} data-size={large ? "large" : undefined}
        data-lm-suppress-shortcuts="true" onKeyDown={(event) => onKeys(event, store)}>
        <Toolbar word={word} large={large} onLarge={setLarge} />
        <Banners />
        <Boundary mark={seq} message={strings.drawFailed}>{loaded ? (
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
            </div>
          </div>
        ) : <Skeleton />}</Boundary>
        <Live />
      </section>
    </StoreContext.Provider>
  );
}
