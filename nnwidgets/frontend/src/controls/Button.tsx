import type { ComponentChildren } from "preact";
import type { Value } from "../wire";
import type { AnyCommand } from "../commands";
import { useStore } from "./useStore";

interface Props {
  command: AnyCommand;
  mark?: string; // commands of another mark do not wait for this one
  args?: Record<string, Value>;
  disabled?: boolean;
  className?: string;
  label?: string;
  onDone?: () => void;
  children: ComponentChildren;
}

/** A command to Python. It stays focusable while it waits, so that the keyboard does not lose its place. */
export function CommandButton({ command, mark = command, args, disabled = false, className, label, onDone, children }: Props) {
  const store = useStore();
  const off = disabled || store.isBusy(mark);
  const press = (): void => {
    if (off) return;
    store.command(command, args, { key: mark });
    onDone?.();
  };
  return (
    <button type="button" class={className} aria-disabled={off} aria-label={label} data-nnw-action={command} onClick={press}>
      {children}
    </button>
  );
}
