"""What a lottery of winning tickets gives."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from nnwidgets.engine.errors import InputError
from nnwidgets.engine.values.intervals import student

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ARMS", "MEASURES", "LotteryProgress", "LotteryResult", "LotteryRun"]

ARMS = ("dense", "ticket", "reinit", "reshuffled")
MEASURES = (
    "stop_step",
    "stop_val_loss",
    "stop_val_accuracy",
    "stop_test_accuracy",
    "end_val_loss",
    "end_val_accuracy",
    "end_test_accuracy",
)
_FORMAT = "nnwidgets.lottery.1"


@dataclass(frozen=True)
class LotteryRun:
    """One training run.

    Attributes:
        seed: of the weights at the start and of the order of images. round: 0 is the dense network.
        arm: "dense"; "ticket" (what is left has its early weights again); "reinit" (the same places, new random weights);
            "reshuffled" (early weights, as many places in each layer, drawn at random).
        remaining: share of weights that are left; kept: their number.
        stop_step: where the loss on S_val was smallest, of those steps where it was measured; the first of equal ones.
        stop_...: loss and accuracies there. end_...: after the last step. steps: that last step.
    """

    seed: int
    round: int
    arm: str
    remaining: float
    kept: int
    steps: int
    stop_step: int
    stop_val_loss: float
    stop_val_accuracy: float
    stop_test_accuracy: float
    end_val_loss: float
    end_val_accuracy: float
    end_test_accuracy: float


@dataclass(frozen=True)
class LotteryProgress:
    """How far a lottery is.

    Attributes:
        done, total: runs. text: what is being done. run: the one that has just ended. part: share of the present run, trained.
    """

    done: int
    total: int
    text: str
    run: LotteryRun | None = None
    part: float = 0.0

    @property
    def share(self) -> float:
        """Of the work, in [0, 1]."""
        return (self.done + self.part) / self.total


@dataclass(frozen=True)
class LotteryResult:
    """All runs of a lottery.

    Attributes:
        runs: by seed, round and arm. settings: what they were made with: setup, rates, rewind_step, every_steps, n (images of
            train, val, test), output_layer. recorded: where it was replayed from a file: machine, date and versions, else "".
    """

    runs: tuple[LotteryRun, ...]
    settings: Mapping[str, Any]
    recorded: str = field(default="", compare=False)

    def to_frame(self) -> pd.DataFrame:
        """A row for each run, with the attributes of `LotteryRun` as columns."""
        import pandas as pd  # 30 MB that others do not need

        return pd.DataFrame([asdict(run) for run in self.runs], columns=[each.name for each in fields(LotteryRun)])

    def differences(self, arm: str = "ticket", other: str = "reinit", of: str = "stop_step") -> pd.DataFrame:
        """Paired differences ``arm - other`` on the same seed, with Student's 95 % interval for another seed.

        Args:
            arm, other: see `LotteryRun`; the dense network of a seed is held against each of its rounds. of: a column of figures.

        Returns:
            A row for each round that both have: round, remaining, mean, low, high, pairs. One pair has no interval (infinite).
            The spread is taken to be at least half an image, or half the steps between two looks. The intervals are of one
            round each, not of all rounds together.

        Raises:
            InputError: an unknown arm or column, or no pairs.
        """
        import pandas as pd

        return pd.DataFrame(self.paired(arm, other, of), columns=["round", "remaining", "mean", "low", "high", "pairs"])

    def paired(self, arm: str, other: str, of: str) -> list[tuple[int, float, float, float, float, int]]:
        """The rows of `differences`, as tuples."""
        for name, value, known in (("arm", arm, ARMS), ("other", other, ARMS), ("of", of, MEASURES)):
            if value not in known:
                raise InputError(f"{name}: got {value!r}, expected one of {', '.join(map(repr, known))}.")
        first, second = self._by_place(arm), self._by_place(other)
        found: dict[int, list[tuple[LotteryRun, LotteryRun]]] = {}
        for seed, number in sorted(first.keys() | second.keys()):
            a = first.get((seed, 0 if arm == "dense" else number))
            b = second.get((seed, 0 if other == "dense" else number))
            if a is not None and b is not None:
                found.setdefault(number, []).append((a, b))
        if not found:
            raise InputError(f"differences: got no seed and round that have both {arm!r} and {other!r}; run them first.")
        rows = []
        for number, pairs in sorted(found.items()):
            mean, low, high = student([getattr(a, of) - getattr(b, of) for a, b in pairs], self._least(of))
            remaining = min(pairs[0][0].remaining, pairs[0][1].remaining)
            rows.append((number, remaining, mean, low, high, len(pairs)))
        return rows

    def _by_place(self, arm: str) -> dict[tuple[int, int], LotteryRun]:
        return {(run.seed, run.round): run for run in self.runs if run.arm == arm}

    def _least(self, of: str) -> float:
        if of == "stop_step":
            return 0.5 * float(self.settings["every_steps"])
        if of.endswith("accuracy"):
            return 0.5 / float(self.settings["n"]["test" if "test" in of else "val"])
        return 0.0

    def to_json(self, recorded: str | None = None) -> str:
        """A text that `from_json` reads; ``recorded`` says when, where and by which versions it was made."""
        names = [each.name for each in fields(LotteryRun)]
        rows = [[_short(getattr(run, name)) for name in names] for run in self.runs]
        label = self.recorded if recorded is None else recorded
        data = {"format": _FORMAT, "recorded": label, "settings": dict(self.settings), "columns": names, "runs": rows}
        return json.dumps(data, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> LotteryResult:
        """Read what `to_json` gave.

        Raises:
            InputError: something else.
        """
        try:
            data = json.loads(text)
            if data["format"] != _FORMAT:
                raise ValueError(f"format {data['format']!r:.40}")
            runs = tuple(LotteryRun(**dict(zip(data["columns"], row, strict=True))) for row in data["runs"])
            return cls(runs, dict(data["settings"]), str(data["recorded"]))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise InputError(
                f"this is no lottery: {type(error).__name__}: {error!s:.200}. Give the text that LotteryResult.to_json() gave."
            ) from None


def _short(value: object) -> object:
    return value if not isinstance(value, float) else float(f"{value:.9g}")
