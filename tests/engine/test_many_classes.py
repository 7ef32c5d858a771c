"""A thousand classes: strata stay few, the interval holds, and the end is exact."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from nnwidgets.engine.evaluation import Tally, evaluate, strata_of, stream_accuracy
from nnwidgets.engine.values.split import Split


def test_a_network_of_a_thousand_classes_streams() -> None:
    draw = torch.Generator().manual_seed(0)
    centres = torch.randn(1000, 64, generator=draw)
    labels = torch.randint(0, 1000, (4000,), generator=draw)
    split = Split(centres[labels] + 1.7 * torch.randn(4000, 64, generator=draw), labels)
    model, worse = nn.Linear(64, 1000), nn.Linear(64, 1000)
    with torch.no_grad():
        for net, noise in ((model, 0.0), (worse, 0.4)):
            net.weight.copy_(centres + noise * torch.randn(centres.shape, generator=draw))
            net.bias.copy_(-(net.weight**2).sum(1) / 2)
    known, truth = evaluate(model, split), evaluate(worse, split)
    assert 0.5 < truth.accuracy < known.accuracy - 0.02, "the case tells something"
    strata = strata_of(labels.numpy(), known.margins)
    assert strata is not None and len(strata.band) <= 60
    holds, seen = 0, []
    for seed in range(200):
        tally = Tally(4000, strata, seed=seed)
        while True:
            index = tally.draw(64)
            estimate = tally.add(index, truth.correct[index])
            if tally.settled and estimate.high - estimate.low <= 0.04:
                break
        holds += estimate.low <= truth.accuracy <= estimate.high
        seen.append(estimate.n_seen)
    assert holds >= 180 and np.mean(seen) < 2500
    *_, last = stream_accuracy(worse, split, reference=known, half_width=None)
    assert (last.accuracy, last.low, last.high) == (truth.accuracy,) * 3
