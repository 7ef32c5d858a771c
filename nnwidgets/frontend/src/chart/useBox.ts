import { useLayoutEffect, useRef, useState } from "preact/hooks";

export interface Box {
  width: number;
  em: number;
}

/** The width and the text size of an element, in CSS pixels; null until it is on the page. */
export function useBox(): [{ current: HTMLDivElement | null }, Box | null] {
  const ref = useRef<HTMLDivElement>(null);
  const [box, setBox] = useState<Box | null>(null);
  useLayoutEffect(() => {
    const element = ref.current;
    if (!element) return;
    const measure = (): void => {
      const width = Math.floor(element.clientWidth);
      const em = Number.parseFloat(getComputedStyle(element).fontSize) || 11;
      if (width > 0) setBox((old) => (old?.width === width && old.em === em ? old : { width, em }));
    };
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return [ref, box];
}
