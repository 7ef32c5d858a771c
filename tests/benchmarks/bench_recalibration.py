"""What batch-norm statistics cost when filters go, and what measuring them again gives back: no labels, no training."""

from __future__ import annotations

from collections.abc import Iterator

from figures import Figure

from nnwidgets.engine import Pruning, Recipe, compress, evaluate, recalibrate_batch_norm
from nnwidgets.engine.zoo import example_parts

_NETS = {"ResNet-20": "digits/resnet20", "small VGG": "shapes/vgg_small"}
_SEEDS = 3  # draws of the images that are looked at


def figures() -> Iterator[Figure]:
    """Accuracy on S_test with a share of the filters of each layer gone: before, and after with three draws of images."""
    for title, name in _NETS.items():
        parts = example_parts(name)
        for criterion in ("magnitude", "random"):
            for share in (0.2, 0.4):
                small = compress(parts.model, Recipe(Pruning(share, "filter", criterion, "uniform")), parts.train)
                told = f"{title}, {share:.0%} of the filters by {criterion}: accuracy"
                before = evaluate(small, parts.test).accuracy
                yield Figure(f"{told}, removed", (100 * before,), unit="%")
                after = [
                    100 * evaluate(recalibrate_batch_norm(small, parts.train, seed=seed), parts.test).accuracy
                    for seed in range(_SEEDS)
                ]
                yield Figure(f"{told}, batch-norm measured again", tuple(after), unit="%")
