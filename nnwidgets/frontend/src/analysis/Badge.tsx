import { SIGNS, words } from "../analysis_strings";
import type { BadgeWord } from "../analysis_wire";

const ROLES: Record<BadgeWord, string> = {
  strong: "bad", weak: "warn", none: "muted", "not tested": "muted", "does not apply": "muted", failed: "bad", hidden: "accent",
};

/** The words of a badge: what was found, or why nothing was. */
export function badgeText(badge: BadgeWord, cost: string): string {
  if (badge === "not tested") return words.notTested(cost);
  return badge === "hidden" ? words.afterVote : badge;
}

/** A shape, a word and a colour: any one of them is enough. */
export function Badge({ badge, cost = "", text = "" }: { badge: BadgeWord; cost?: string; text?: string }) {
  return (
    <span class={`badge r-${ROLES[badge]}`} data-nnw-badge={badge}>
      <i class="sign" aria-hidden="true">{SIGNS[badge]}</i>
      <span><b>{badgeText(badge, cost)}</b>{text && `, ${text}`}</span>
    </span>
  );
}
