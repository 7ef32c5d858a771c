// A box beside a button, above everything else on the page: Esc or a click elsewhere closes it, focus returns.
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { place } from "./place";

interface Props {
  label: string;
  name: string; // accessible name of the button
  text: ComponentChildren; // what the button shows
  className?: string;
  action?: string;
  children: (close: () => void) => ComponentChildren;
}

export function Popover({ label, name, text, className = "", action, children }: Props) {
  const [open, setOpen] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  const close = (): void => {
    setOpen(false);
    button.current?.focus();
  };
  return (
    <>
      <button type="button" ref={button} class={className} aria-label={name} title={name} aria-haspopup="dialog" aria-expanded={open}
        data-nnw-action={action} onClick={() => (open ? close() : setOpen(true))}>{text}</button>
      {open && button.current && <Box anchor={button.current} label={label} onClose={close} onLeave={() => setOpen(false)}>{children(close)}</Box>}
    </>
  );
}

interface BoxProps {
  anchor: HTMLElement;
  label: string;
  onClose: () => void;
  onLeave: () => void;
  children: ComponentChildren;
}

function Box({ anchor, label, onClose, onLeave, children }: BoxProps) {
  const ref = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const box = ref.current;
    if (!box) return;
    box.showPopover?.();
    const put = (): void => {
      const view = { width: document.documentElement.clientWidth, height: window.innerHeight };
      const { left, top } = place(anchor.getBoundingClientRect(), box.getBoundingClientRect(), view);
      Object.assign(box.style, { left: `${left}px`, top: `${top}px` });
    };
    put();
    const grown = new ResizeObserver(put);
    grown.observe(box);
    (box.querySelector<HTMLElement>("[data-nnw-first]") ?? box.querySelector<HTMLElement>("input,button,select") ?? box).focus({ preventScroll: true });
    // composedPath, not target: in a shadow root the target is the host
    const outside = (event: Event): boolean => !event.composedPath().includes(box) && !event.composedPath().includes(anchor);
    const down = (event: Event): void => { if (outside(event)) onLeave(); };
    window.addEventListener("pointerdown", down, true);
    window.addEventListener("scroll", put, true);
    window.addEventListener("resize", put);
    return () => {
      grown.disconnect();
      window.removeEventListener("pointerdown", down, true);
      window.removeEventListener("scroll", put, true);
      window.removeEventListener("resize", put);
    };
  }, []);
  const onKey = (event: KeyboardEvent): void => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    event.preventDefault();
    onClose();
  };
  const onBlur = (event: FocusEvent): void => {
    const to = event.relatedTarget as Node | null;
    if (to && !ref.current?.contains(to) && to !== anchor) onLeave();
  };
  return (
    <div ref={ref} class="popover" popover="manual" role="dialog" aria-label={label} tabIndex={-1} onKeyDown={onKey} onFocusOut={onBlur}>
      {children}
    </div>
  );
}
