import type { JSX } from "preact";
import { useState } from "preact/hooks";

type Typed = JSX.TargetedEvent<HTMLInputElement>;

export interface Draft {
  text: string | null; // null: nothing was begun
  drop: () => void;
  on: { onInput: (event: Typed) => void; onBlur: () => void; onKeyDown: (event: JSX.TargetedKeyboardEvent<HTMLInputElement>) => void };
}

/** What stands unfinished in a box: news of the kernel do not take it back, Esc does. The box itself takes it at its "change". */
export function useDraft(): Draft {
  const [text, setText] = useState<string | null>(null);
  const drop = (): void => setText(null);
  const onKeyDown: Draft["on"]["onKeyDown"] = (event) => {
    if (event.key !== "Escape" || text === null) return;
    event.preventDefault();
    event.stopPropagation(); // it closes no dialog as well
    drop();
  };
  return { text, drop, on: { onInput: (event) => setText(event.currentTarget.value), onBlur: drop, onKeyDown } };
}
