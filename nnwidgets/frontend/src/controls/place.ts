// Where a popover goes. Pure.

interface Frame {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

const EDGE = 8; // px kept free at the edges of the window

/** Under the anchor, or above it where there is no room; never outside the window. */
export function place(
  anchor: Frame, box: { width: number; height: number }, view: { width: number; height: number },
): { left: number; top: number } {
  const left = Math.max(EDGE, Math.min(anchor.left, view.width - box.width - EDGE));
  const below = anchor.bottom + 6;
  const above = anchor.top - box.height - 6;
  const top = below + box.height <= view.height - EDGE || above < EDGE ? below : above;
  return { left, top: Math.max(EDGE, Math.min(top, view.height - box.height - EDGE)) };
}
