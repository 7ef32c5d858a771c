import { useEffect, useState } from "preact/hooks";
import { useRested, useStore } from "../controls/useStore";

const REST = 1000; // ms of quiet before figures are read out

/** The one polite live region: `sentence` once it is final, and what Python says. */
export function Live({ sentence }: { sentence: string }) {
  const store = useStore();
  const [text, setText] = useState("");
  const idle = store.get("status") === "idle";
  useRested(idle ? `${store.shown.seq} ${sentence}` : "", REST, (rested) => rested && setText(sentence));
  useEffect(() => {
    if (store.said) setText(store.said);
    store.said = "";
  }, [store.said]);
  return <div class="hidden" role="status" aria-live="polite" data-nnw-live="">{text}</div>;
}
