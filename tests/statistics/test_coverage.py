"""The interval of a streamed accuracy deserves its name: all bundled networks, from untouched to collapsed, many draws."""

from __future__ import annotations

import numpy as np
import pytest
from stream_draws import AMOUNTS, BITS, NETS, SEEDS, all_draws, draws, known

from nnwidgets.engine.evaluation import strata_of

pytestmark = pytest.mark.slow


def test_the_cases_are_what_they_are_said_to_be() -> None:
    """One class only, hardly changed, and much between."""
    resnet, vgg = known()["digits/resnet20"], known()["shapes/vgg_small"]
    for labels, table in (resnet, vgg):
        assert table["pruned 0.95"][0].mean() == max(np.bincount(labels)[labels[table["pruned 0.95"][0]]]) / len(labels)
        assert 0 < np.mean(table["pruned 0.3"][0] != table["pruned 0"][0]) < 0.02
    for name in NETS:
        assert np.mean(known()[name][1]["pruned 0.001"][0] != known()[name][1]["pruned 0"][0]) < 0.002


def test_intervals_cover_at_the_stop_and_on_the_way() -> None:
    found = all_draws()
    lines = "\n".join(f"{' '.join(key)}: stop {a:.3f}, way {b:.3f}, {c:.0f} images" for key, (a, b, c) in found.items())
    stops, ways = [stop for stop, _, _ in found.values()], [way for _, way, _ in found.values()]
    assert len(found) == len(NETS) * (len(AMOUNTS) + len(BITS))
    assert np.mean(stops) >= 0.94 and min(stops) >= 0.90 and min(ways) >= 0.90, lines
    light = [seen for (name, title), (_, _, seen) in found.items() if title in ("pruned 0", "pruned 0.001", "8 bits")]
    assert max(light) < 500, f"an eighth of the images is enough where little has changed\n{lines}"


@pytest.mark.parametrize("name", NETS)
def test_a_network_that_tells_little_of_another_misleads_nobody(name: str) -> None:
    """Back from the far end of the slider: the last known answers are of a collapsed network, or of one that is half broken."""
    labels, table = known()[name]
    for known_at in ("pruned 0.95", "pruned 0.7"):
        strata = strata_of(labels, table[known_at][1])
        assert (strata is None) == (table[known_at][0].mean() < 0.5)
        for title in ("pruned 0", "pruned 0.5", "2 bits"):
            stop, way, _ = draws(table[title][0], strata, SEEDS)
            assert stop >= 0.90 and way >= 0.90, (known_at, title)
