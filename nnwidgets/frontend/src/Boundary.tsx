import { Component, type ComponentChildren } from "preact";

interface Props {
  mark: unknown; // another mark: another try
  message: string;
  children: ComponentChildren;
}

/** What cannot be drawn says so instead of leaving an empty cell. */
export class Boundary extends Component<Props, { failed: boolean }> {
  override state = { failed: false };

  static override getDerivedStateFromError(): { failed: boolean } {
    return { failed: true };
  }

  override componentDidCatch(error: unknown): void {
    console.error("[nnwidgets]", error);
  }

  override componentDidUpdate(before: Props): void {
    if (this.state.failed && before.mark !== this.props.mark) this.setState({ failed: false });
  }

  override render({ children, message }: Props) {
    return this.state.failed ? <p class="banner r-bad" role="alert">{message}</p> : children;
  }
}
