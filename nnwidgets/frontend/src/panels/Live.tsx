import { useEffect, useState } from "preact/hooks";
import { useStore, useRested } from "../controls/useStore";
import { strings } from "../strings";
import { MAIN } from "./Figures";

const REST = 1000; // ms of quiet before figures are read out

/** The one polite live region: the figures once they are final, and what Python says. */
export function Live() {
  const store = useStore();
  const [text, setText] = useState("");
  const { figures, seq } = store.shown;
  const idle = store.get("status") === "idle";
  const sentence = MAIN.map(({ name, title }) => figures[name] && figures[name].raw !== null && strings.said(title, figures[name].value, figures[name].unit))
    .filter(Boolean).join(". ");
  useRested(idle ? `${seq} ${sentence}` : "", REST, (rested) => rested && setText(sentence));
  useEffect(() => {
    if (store.said) setText(store.said);
    store.said = "";
  }, [store.said]);
  return <div class="hidden" role="status" aria-live="polite" data-nnw-live="">{text}</div>;
}
