"""Which layers can bear it: each layer compressed alone, by each amount."""

from __future__ import annotations

import os
import pickle
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from nnwidgets.engine.compression import CompressionPlan
from nnwidgets.engine.errors import DataError, InputError, ModelError, UnsupportedError
from nnwidgets.engine.evaluation import check_model
from nnwidgets.engine.scans._count import Candidates, counting, counts
from nnwidgets.engine.scans.records import Counts, Progress
from nnwidgets.engine.trace import preserved_rng, unvisited_copy
from nnwidgets.engine.values._fields import share, whole
from nnwidgets.engine.values.intervals import wilson
from nnwidgets.engine.values.recipe import Pruning, Quantization, Recipe
from nnwidgets.engine.values.split import Split

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BUDGET_BYTES", "sensitivity_scan", "sensitivity_steps"]

BUDGET_BYTES = 128 * 2**20
_BITS = (*range(1, 9), 32)
_COLUMNS = {"pruning": "amount", "quantization": "bits"}
_FEWEST = 64  # images worth a task of their own


def sensitivity_scan(
    model: nn.Module,
    split: Split,
    amounts: Sequence[float],
    kind: str = "pruning",
    executor: Executor | None = None,
    *,
    share_prefix: bool = True,
    budget_bytes: int = BUDGET_BYTES,
    settings: Quantization | None = None,
) -> pd.DataFrame:
    """Compress each layer alone by each amount and count the right answers (Han et al. 2015, Li et al. 2017).

    What comes before a layer is run once and kept, and only the rest is run for each candidate. The answers are those of
    ``evaluate(bake(compress(model, recipe)), split)``, but for images whose two largest logits are equal up to float rounding:
    batch-norm is folded and batches have another size.

    Args:
        model: a plain network that answers logits (B, K); it is copied and stays as it is.
        split: images with labels, where the network is. Choose nothing by S_test: give S_val.
        amounts: for "pruning" shares in [0, 1) of each layer's single weights, the smallest go; for "quantization" bits, 1 to 8
            or 32. Each is tried once, in ascending order.
        kind: "pruning" or "quantization".
        executor: any ``concurrent.futures.Executor`` (threads, processes, a Dask client's): images are divided among its workers.
        share_prefix: False runs the whole network for each candidate. budget_bytes: of kept activations, in each task.
        settings: of the rounding, all but the bits; by default symmetric, a scale a channel.

    Returns:
        A row for each layer, in order of definition, and amount: layer, amount (or bits), accuracy, error, drop (accuracy of the
        network as it is, minus this one), n (images), low, high (95 % Wilson interval of the accuracy on new images like these),
        macs_share and bytes_share (multiply-accumulates on nonzero weights and encoded bytes of the whole network, 1 = as it is).
        ``attrs``: kind, dense (accuracy of the network as it is), n, method ("graph", "layers" or "whole") and note (what
        that means, and why no faster way was taken).

    Raises:
        InputError: an unknown kind, amounts out of range or none, no executor. DataError: no labels, another device.
        ModelError, UnsupportedError: a network that cannot be measured or compressed.
    """
    steps = _Steps(model, split, amounts, kind, settings)
    with preserved_rng():
        if executor is not None:
            return steps.table(_divided(steps, split, executor, budget_bytes, share_prefix))
        budget = _checked_budget(budget_bytes)
        return steps.table(counts(steps.model, split, steps.candidates, budget, share_prefix, steps.plan))


def sensitivity_steps(
    model: nn.Module,
    split: Split,
    amounts: Sequence[float],
    kind: str = "pruning",
    *,
    budget_bytes: int = BUDGET_BYTES,
    settings: Quantization | None = None,
) -> Generator[Progress, None, pd.DataFrame]:
    """As `sensitivity_scan`, for a job: a generator that yields after each 10 to 20 ms of work and returns the table.

    Random states are not guarded: in a background thread that would take back what the user's own code draws meanwhile.
    """
    steps = _Steps(model, split, amounts, kind, settings)
    found = yield from counting(steps.model, split, steps.candidates, _checked_budget(budget_bytes), plan=steps.plan)
    return steps.table(found)


class _Steps:
    """A scan that was checked: what is tried, on which copy, and the table of what came out."""

    def __init__(
        self, model: nn.Module, split: Split, amounts: Sequence[float], kind: str, settings: Quantization | None = None
    ) -> None:
        self._settings = Quantization() if settings is None else settings
        if not isinstance(self._settings, Quantization):
            raise InputError(f"settings: got {type(settings).__name__}, expected Quantization(...); its bits do not matter.")
        self.kind, self.amounts = kind, _checked_amounts(amounts, kind)
        if not isinstance(model, nn.Module):
            raise ModelError(f"got {type(model).__name__}, expected a torch.nn.Module.")
        if not isinstance(split, Split):
            raise DataError(f"got {type(split).__name__}, expected Split(images, labels).")
        if split.labels is None:
            raise DataError("got images without labels; a scan counts right answers and needs Split(images, labels).")
        check_model(model, split)
        with torch.inference_mode(False), torch.no_grad():
            self.model = unvisited_copy(model).eval()
        self.plan = CompressionPlan(self.model, split.sample_shape)
        _refuse_parametrized(self.model, self.plan)
        names = tuple(layer.name for layer in self.plan.layers)
        if not names:
            raise ModelError("this network has no weights that can be pruned or quantized; a scan needs one layer at least.")
        self.candidates = Candidates(
            names, tuple(_words(amount, kind) for amount in self.amounts), {name: self._recipes(name) for name in names}
        )

    def _recipes(self, layer: str) -> tuple[Recipe, ...]:
        if self.kind == "pruning":
            return tuple(Recipe(Pruning(0.0, allocation={layer: amount})) for amount in self.amounts)
        return tuple(
            Recipe(quantization=replace(self._settings, weight_bits={layer: int(bits)}, scales=None)) for bits in self.amounts
        )

    def table(self, found: Counts) -> pd.DataFrame:
        """The counts as shares, with what each candidate costs."""
        dense = self.plan.figures(Recipe())
        rows = []
        for layer, counted in zip(self.candidates.layers, found.right.tolist(), strict=True):
            for amount, recipe, right in zip(self.amounts, self.candidates.recipes[layer], counted, strict=True):
                low, high = wilson(right, found.n)
                cost = self.plan.figures(recipe)
                rows.append(
                    {
                        "layer": layer,
                        _COLUMNS[self.kind]: amount,
                        "accuracy": right / found.n,
                        "error": 1 - right / found.n,
                        "drop": (found.dense - right) / found.n,
                        "n": found.n,
                        "low": low,
                        "high": high,
                        "macs_share": cost.macs_nonzero / dense.macs_nonzero if dense.macs_nonzero else 1.0,
                        "bytes_share": cost.bytes_encoded / dense.bytes_encoded if dense.bytes_encoded else 1.0,
                    }
                )
        import pandas as pd  # 30 MB that a lab at work does not need

        made = pd.DataFrame(rows)
        told = {"kind": self.kind, "dense": found.dense / found.n, "n": found.n, "method": found.method, "note": found.note}
        made.attrs.update(told)
        return made


def _divided(steps: _Steps, split: Split, executor: Executor, budget_bytes: int, share_prefix: bool) -> Counts:
    """Parts of the images as tasks; if one fails, or the wait is interrupted, those that wait are not begun."""
    if not callable(getattr(executor, "submit", None)):
        raise InputError(f"executor: got {type(executor).__name__}, expected a concurrent.futures.Executor, or None.")
    budget = _checked_budget(budget_bytes)
    if isinstance(executor, ProcessPoolExecutor):
        try:
            pickle.dumps(steps.model)
        except Exception as error:  # pickle raises whatever the network's parts raise
            raise InputError(
                f"executor: this network cannot be sent to another process ({type(error).__name__}: {error}); define its "
                "class in a module, or use a ThreadPoolExecutor."
            ) from error
    workers = int(getattr(executor, "_max_workers", 0) or os.cpu_count() or 1)
    parts = torch.arange(len(split)).tensor_split(max(1, min(workers, len(split) // _FEWEST)))
    futures: list[Future[Counts]] = []
    try:
        for part in parts:
            futures.append(executor.submit(counts, steps.model, split.take(part), steps.candidates, budget, share_prefix))
        results = [future.result() for future in futures]
    except BaseException:
        for future in futures:
            future.cancel()
        raise
    return sum(results[1:], results[0])


def _checked_amounts(amounts: object, kind: str) -> tuple[float, ...]:
    if kind not in _COLUMNS:
        raise InputError(f"kind: got {kind!r}, expected 'pruning' or 'quantization'.")
    if isinstance(amounts, str | bytes) or not isinstance(amounts, Iterable):
        raise InputError(f"amounts: got {amounts!r:.60}, expected several, such as (0.5, 0.8, 0.9), or bits such as (8, 4, 2).")
    check: Any = share if kind == "pruning" else lambda name, value: whole(name, value, _BITS)
    found = tuple(sorted({check("amounts", value) for value in amounts}))
    if not found:
        raise InputError("amounts: got none, expected one at least, such as (0.5, 0.8, 0.9).")
    return found


def _checked_budget(budget_bytes: object) -> int:
    if isinstance(budget_bytes, bool) or not isinstance(budget_bytes, int) or budget_bytes < 1:
        raise InputError(f"budget_bytes: got {budget_bytes!r}, expected a whole number of bytes, such as 128 * 2**20.")
    return budget_bytes


def _refuse_parametrized(model: nn.Module, plan: CompressionPlan) -> None:
    for layer in plan.layers:
        if parametrize.is_parametrized(model.get_submodule(layer.module_name), layer.parameter):
            raise UnsupportedError(
                f"Layer {layer.name!r} already has a parametrization on its weight. Take that off with "
                "torch.nn.utils.parametrize.remove_parametrizations first."
            )


def _words(amount: float, kind: str) -> str:
    return f"{100 * amount:g} % pruned" if kind == "pruning" else f"{amount} bits"
