// preact/compat's memo, without the rest of preact/compat (10 kB).
import { Component, h, type ComponentType, type FunctionComponent, type VNode } from "preact";

/** Draws again only when a prop is another object. */
export function memo<P extends object>(View: ComponentType<P>): ComponentType<P> {
  return class Memo extends Component<P> {
    override shouldComponentUpdate(next: P): boolean {
      const [a, b] = [this.props as Record<string, unknown>, next as Record<string, unknown>];
      return Object.keys({ ...a, ...b }).some((key) => a[key] !== b[key]);
    }
    override render(props: P): VNode<P> {
      return h(View as FunctionComponent<P>, props) as VNode<P>;
    }
  };
}
