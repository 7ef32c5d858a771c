"""Bits of the weights: rounded as it is, and trained with rounding. ``python tests/benchmarks/bench_bits.py [net ...]``.

Bundled, trained networks; every training is one epoch of the images of S_train without S_val, the same for all arms of a seed.
"tuned" is the control of quantization-aware training: as much training in full precision, and then rounding. "learned steps" is
training with rounding in which the steps between levels are trained too (LSQ), against ranges from the smallest to the largest
weight of each moment. Accuracy is of S_test; nothing is chosen by it. Differences are paired by seed, with Student's 95 %
interval. ResNet-20 takes about half an hour of one core with five seeds, the small VGG twenty minutes, LeNet-5 six.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent)]

import pandas as pd  # noqa: E402
from run import machine  # noqa: E402

from nnwidgets.engine import Quantization, Recipe, TrainingSetup, compare_bits, compress, evaluate, sensitivity_scan, spread_bits  # noqa: E402
from nnwidgets.engine.values.intervals import student  # noqa: E402
from nnwidgets.engine.zoo import example_parts  # noqa: E402
from nnwidgets.engine.zoo.examples import ExampleParts  # noqa: E402

NETS = {"lenet5": "digits/lenet5", "resnet20": "digits/resnet20", "vgg_small": "shapes/vgg_small"}
BITS = (8, 6, 5, 4, 3, 2, 1)
TRAINED = (8, 4, 3, 2, 1)
LEARNED = (4, 3, 2, 1)
STATIC = {
    "per tensor, min-max": Quantization(granularity="tensor"),
    "per tensor, least squares": Quantization(granularity="tensor", observer="mse"),
    "per channel, min-max": Quantization(),
    "per channel, affine": Quantization(symmetric=False),
    "per channel, least squares": Quantization(observer="mse"),
    "per channel, KL": Quantization(observer="kl"),
    "per channel, powers of two": Quantization(power_of_two=True),
    "codebook": Quantization(method="codebook"),
}


def static(net: str) -> str:
    """Markdown: a row for each way, accuracy at each number of bits without training."""
    parts = example_parts(NETS[net])
    lines = ["| rounded as it is | " + " | ".join(f"{bits}" for bits in BITS) + " |", "|---" * (len(BITS) + 1) + "|"]
    for title, settings in STATIC.items():
        row = [evaluate(compress(parts.model, Recipe(None, replace(settings, weight_bits=b))), parts.test).accuracy for b in BITS]
        lines.append(f"| {title} | " + " | ".join(f"{100 * value:.1f}" for value in row) + " |")
    dense = evaluate(parts.model, parts.test).accuracy
    return f"\n## {net}: as it is {100 * dense:.1f} %\n\n" + "\n".join(lines)


def mixed(net: str) -> str:
    """Markdown: bits by layer, as a scan on 1,000 images of S_val says, against the same bits for all; accuracy on S_test."""
    parts = example_parts(NETS[net])
    scan = sensitivity_scan(parts.model, parts.val.take(range(1000)), BITS, kind="quantization")
    lines = ["| bits a weight, on average | the same for all | by layer |", "|---" * 3 + "|"]
    for average in (4, 3, 2):
        ways = (average, spread_bits(parts.model, scan, average))
        found = [evaluate(compress(parts.model, Recipe(None, Quantization(way))), parts.test).accuracy for way in ways]
        lines.append(f"| {average} | {100 * found[0]:.1f} | {100 * found[1]:.1f} |")
    return "\n".join(lines)


def trained(net: str, seeds: int, folder: Path | None) -> str:
    """Markdown: a row for each number of bits: static, tuned, aware (least to largest), and the paired differences in points."""
    parts, began = example_parts(NETS[net]), time.monotonic()
    found = _compared(net, parts, TRAINED, None, seeds, folder, net)
    lines = ["| bits | static | tuned, then rounded | trained with rounding | aware - static | aware - tuned |", "|---" * 6 + "|"]
    for bits, own in found.groupby("bits", sort=False):
        apart = [_difference(own["aware"] - own[other], len(parts.test)) for other in ("static", "tuned")]
        lines.append(
            f"| {bits} | {_range(own['static'])} | {_range(own['tuned'])} | {_range(own['aware'])} | {' | '.join(apart)} |"
        )
    return "\n".join(
        [*lines, "", *_learned(net, parts, found, seeds, folder), "", f"{seeds} seeds, {time.monotonic() - began:.0f} s"]
    )


def _learned(net: str, parts: ExampleParts, plain: pd.DataFrame, seeds: int, folder: Path | None) -> list[str]:
    """Lines of Markdown: steps where they begin and trained, and the paired differences to training with min-max ranges."""
    found = _compared(net, parts, LEARNED, Quantization(observer="learned"), seeds, folder, f"{net}-learned")
    both = found.merge(plain, on=["bits", "seed"], suffixes=("", "_plain"))
    lines = [
        "| bits | steps where they begin | trained with rounding | with learned steps | learned - min-max |",
        "|---" * 5 + "|",
    ]
    for bits, own in both.groupby("bits", sort=False):
        ranges = " | ".join(_range(own[name]) for name in ("static", "aware_plain", "aware"))
        lines.append(f"| {bits} | {ranges} | {_difference(own['aware'] - own['aware_plain'], len(parts.test))} |")
    return lines


def _compared(
    net: str,
    parts: ExampleParts,
    bits: tuple[int, ...],
    settings: Quantization | None,
    seeds: int,
    folder: Path | None,
    name: str,
) -> pd.DataFrame:
    setup = TrainingSetup(lr=5e-4, epochs=1, schedule="cosine", augmentation=None if net == "vgg_small" else "shift")
    kept = None if folder is None else folder / f"{name}.jsonl"
    return compare_bits(parts.model, parts.train, parts.test, bits, settings, setup, range(seeds), resume=kept)


def _range(values: pd.Series) -> str:
    low, high = 100 * values.min(), 100 * values.max()
    return f"{100 * values.mean():.1f}" + (f" ({low:.1f} to {high:.1f})" if high > low else "")


def _difference(values: pd.Series, n: int) -> str:
    mean, low, high = (100 * value for value in student(list(values), 0.5 / n))
    return f"{mean:+.1f} ({low:+.1f} to {high:+.1f})"


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nets", nargs="*", default=list(NETS), help=f"from: {', '.join(NETS)}; all without one")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--resume", type=Path, help="folder of what is done")
    given = parser.parse_args()
    if unknown := sorted(set(given.nets) - set(NETS)):
        parser.error(f"got {', '.join(unknown)}; expected some of {', '.join(NETS)}")
    if given.resume is not None:
        given.resume.mkdir(parents=True, exist_ok=True)
    sys.stdout.write(f"{machine()}\n")
    for net in given.nets:
        sys.stdout.write(f"{static(net)}\n\n{mixed(net)}\n\n")
        sys.stdout.flush()
        sys.stdout.write(f"{trained(net, given.seeds, given.resume)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
