// The root of a widget: its marks, its theme, the size of its type, and where its keys go.
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Sheet } from "../contract";
import { StoreContext } from "../controls/useStore";
import type { Store } from "../store";
import { watchTheme, type Theme } from "../theme";

interface Props<S extends Sheet> {
  store: Store<S>;
  kind: string; // data-nnw
  name: string;
  large: boolean;
  onKey?: (event: KeyboardEvent) => void;
  children: (theme: Theme) => ComponentChildren;
}

export type Word = "starting" | "computing" | "exact" | "error" | "disconnected";

export function wordOf<S extends Sheet>(store: Store<S>): Word {
  if (store.link !== "live") return "disconnected";
  const status = store.get("status");
  if (status === "error" || store.get("error")) return "error";
  if (!store.shown.loaded) return "starting";
  return status === "running" || store.get("task") ? "computing" : "exact";
}

export const typing = (event: KeyboardEvent): boolean =>
  event.target instanceof Element && event.target.matches("textarea, input[type=text], input[type=number]");

/** Drawn anew by the widget's App, which follows the store's changes. */
export function Shell<S extends Sheet>({ store, kind, name, large, onKey, children }: Props<S>) {
  const [theme, setTheme] = useState<Theme>({ dark: false, contrast: false });
  useEffect(() => watchTheme((next) => setTheme((old) => (old.dark === next.dark && old.contrast === next.contrast ? old : next))), []);
  const { loaded, seq } = store.shown;
  // Keys that are used here do not reach the notebook; Tab and its own combinations do
  const onKeyDown = (event: KeyboardEvent): void => {
    onKey?.(event);
    if (event.key !== "Tab" && !event.ctrlKey && !event.metaKey && !event.altKey) event.stopPropagation();
  };
  return (
    <StoreContext.Provider value={store as unknown as Store}>
      <section class="nnw" aria-label={name} aria-busy={!loaded} data-nnw={kind} data-nnw-status={store.get("status") ?? "idle"}
        data-nnw-seq={seq} data-nnw-ready={loaded} data-theme={theme.dark ? "dark" : "light"} data-contrast={theme.contrast ? "more" : undefined}
        data-size={large ? "large" : undefined} data-lm-suppress-shortcuts="true" onKeyDown={onKeyDown}>
        {children(theme)}
      </section>
    </StoreContext.Provider>
  );
}
