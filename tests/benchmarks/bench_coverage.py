"""Whether the 95 % interval of a streamed accuracy deserves its name, over nets, damages and draws; not a time at all."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from figures import Figure

sys.path.append(str(Path(__file__).resolve().parents[1] / "statistics"))

from stream_draws import SEEDS, all_draws


def figures() -> Iterator[Figure]:
    """The share of draws whose interval holds the accuracy that a full pass finds."""
    found = all_draws()
    stops, ways = tuple(stop for stop, _, _ in found.values()), tuple(way for _, way, _ in found.values())
    where = f"{len(found)} nets x damages, {SEEDS} draws each"
    pooled = sum(stops) / len(stops)
    worst = " ".join(min(found, key=lambda key: found[key][0]))
    yield Figure(f"95 % interval at the stop, {where}: coverage, pooled", (pooled,), (">=", 0.94), "share")
    yield Figure("the same: coverage of the worst case", stops, (">=", 0.90), "share", worst, pick="min")
    yield Figure("intervals on the way: coverage of the worst case", ways, (">=", 0.90), "share", pick="min")
