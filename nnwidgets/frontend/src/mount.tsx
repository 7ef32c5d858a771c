// What anywidget calls: initialize once per model, render once per view.
import { render as draw, type FunctionComponent } from "preact";
import type { Contract, Model, Sheet } from "./contract";
import { forget, storeOf, type Store } from "./store";

interface Context<S extends Sheet> {
  model: Model<S>;
  signal?: AbortSignal;
}

export function widget<S extends Sheet>(contract: Contract<S>, App: FunctionComponent<{ store: Store<S> }>) {
  function initialize({ model }: Context<S>): () => void {
    const store = storeOf(model, contract);
    return () => forget(store);
  }

  function render({ model, el }: Context<S> & { el: HTMLElement }): () => void {
    const store = storeOf(model, contract);
    // anywidget's wrapper hides comm_live; Backbone calls back with the view as `this`, and the view knows its model
    model.on("comm_live_update", function onLive(this: { model?: { comm_live?: boolean } } | undefined) {
      const live = this?.model?.comm_live ?? model.comm_live;
      if (live !== undefined) store.onLive(live);
    });
    draw(<App store={store} />, el);
    return () => draw(null, el);
  }

  return { initialize, render };
}
