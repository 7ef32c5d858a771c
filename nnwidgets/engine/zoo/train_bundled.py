"""Train the bundled networks anew.

``python -m nnwidgets.engine.zoo.train_bundled [net ...]`` writes nnwidgets/assets/*.safetensors.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import torch

from nnwidgets.engine.evaluation import evaluate
from nnwidgets.engine.training import fit
from nnwidgets.engine.zoo.examples import RECIPES, example_data
from nnwidgets.engine.zoo.weights import save_bundled

__all__ = ["train"]

ASSETS = Path(__file__).parents[2] / "assets"


def train(name: str, folder: Path = ASSETS) -> dict[str, object]:
    """Train one bundled network on S_train without S_val, write its weights, and return its record."""
    recipe = RECIPES[name]
    rest, val, test = example_data(recipe.data)
    with torch.random.fork_rng():
        torch.manual_seed(recipe.setup.seed)
        model = recipe.build(1.0)
    for record in fit(model, rest, setup=recipe.setup):
        if record.step % max(1, record.steps // 20) == 0:
            sys.stderr.write(f"{name}: step {record.step} of {record.steps}, loss {record.loss:.4f}, {record.seconds:.0f} s\n")
    model.eval()
    splits = {"train": rest, "val": val, "test": test}
    made: dict[str, object] = {
        "net": name,
        "data": recipe.data,
        "script": "nnwidgets/engine/zoo/train_bundled.py",
        "torch": torch.__version__,
        "seed": recipe.setup.seed,
        "setup": asdict(recipe.setup),
        "n": {key: len(split) for key, split in splits.items()},
        "error": {key: evaluate(model, split).error for key, split in splits.items()},
    }
    save_bundled(model, folder / f"{name}.safetensors", made)
    sys.stderr.write(f"{name}: {made['error']}\n")
    return made


if __name__ == "__main__":
    for wanted in sys.argv[1:] or list(RECIPES):
        train(wanted)
