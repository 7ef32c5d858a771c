import { createContext } from "preact";
import { useContext, useEffect, useLayoutEffect, useState } from "preact/hooks";
import type { Sheet } from "../contract";
import type { Store } from "../store";

export const StoreContext = createContext<Store | null>(null);

/** Draws the calling component again at each change of the store. */
export function useChanges<S extends Sheet>(store: Store<S>): void {
  const [, tick] = useState(0);
  useLayoutEffect(() => {
    tick((n) => n + 1);
    return store.subscribe(() => tick((n) => n + 1));
  }, [store]);
}

/** The store of the widget around, as far as every widget has it. */
export function useStore(): Store {
  const store = useContext(StoreContext);
  if (!store) throw new Error("a control outside its widget");
  return store;
}

/** Calls `what` with `value` once it has rested for `ms`. */
export function useRested<T>(value: T, ms: number, what: (value: T) => void): void {
  useEffect(() => {
    const timer = setTimeout(() => what(value), ms);
    return () => clearTimeout(timer);
  }, [value]);
}
