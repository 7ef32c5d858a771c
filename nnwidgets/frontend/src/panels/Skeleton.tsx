import { strings } from "../strings";

/** What is drawn until the first figures arrive: the shape of what comes. */
export function Skeleton() {
  return (
    <div class="skeleton">
      <p class="cap">{strings.loading}</p>
      <div class="figures" aria-hidden="true">{[0, 1, 2, 3].map((i) => <div key={i} class="card"><i class="short" /><i class="tall" /><i /></div>)}</div>
      <div class="pair" aria-hidden="true">{[0, 1].map((i) => <div key={i} class="card"><i class="short" /><i class="plot" /></div>)}</div>
    </div>
  );
}
