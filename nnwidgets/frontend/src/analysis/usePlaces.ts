import { useLayoutEffect, useState } from "preact/hooks";
import type { Rect } from "./geometry";

type Places = ReadonlyMap<string, Rect>;

const same = (a: Places, b: Places): boolean =>
  a.size === b.size && [...a].every(([id, r]) => {
    const other = b.get(id);
    return other !== undefined && other.left === r.left && other.top === r.top && other.right === r.right && other.bottom === r.bottom;
  });

function measure(root: HTMLElement): Places {
  const zero = root.getBoundingClientRect();
  return new Map([...root.querySelectorAll<HTMLElement>("[data-nnw-node]")].map((each) => {
    const r = each.getBoundingClientRect();
    return [each.dataset["nnwNode"] ?? "", { left: r.left - zero.left, top: r.top - zero.top, right: r.right - zero.left, bottom: r.bottom - zero.top }];
  }));
}

/** Where the boxes of the flowchart are, from its corner: measured after each drawing and each change of size. */
export function usePlaces(ref: { current: HTMLElement | null }, mark: unknown): Places {
  const [places, setPlaces] = useState<Places>(new Map());
  useLayoutEffect(() => {
    const root = ref.current;
    if (!root) return;
    const look = (): void => {
      const found = measure(root);
      setPlaces((old) => (same(old, found) ? old : found));
    };
    look();
    const observer = new ResizeObserver(look);
    for (const each of [root, ...root.querySelectorAll("[data-nnw-node]")]) observer.observe(each);
    return () => observer.disconnect();
  }, [mark]);
  return places;
}
