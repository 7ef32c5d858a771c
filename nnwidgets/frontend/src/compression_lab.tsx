// Entry of the widget: anywidget calls initialize once per model and render once per view.
import { render as draw } from "preact";
import { App } from "./panels/App";
import { forget, storeOf } from "./store";
import type { Model } from "./wire";

interface Context {
  model: Model;
  signal?: AbortSignal;
}

function initialize({ model }: Context): () => void {
  const store = storeOf(model);
  return () => forget(store);
}

function render({ model, el }: Context & { el: HTMLElement }): () => void {
  const store = storeOf(model);
  // anywidget's wrapper hides comm_live; Backbone calls back with the view as `this`, and the view knows its model
  model.on("comm_live_update", function onLive(this: { model?: { comm_live?: boolean } } | undefined) {
    const live = this?.model?.comm_live ?? model.comm_live;
    if (live !== undefined) store.onLive(live);
  });
  draw(<App store={store} />, el);
  return () => draw(null, el);
}

export default { initialize, render };
