"""The same network, trained anew by a usual recipe."""

from __future__ import annotations

from collections.abc import Generator, Mapping

from nnwidgets.engine.diagnosis._context import Context, Refit, apart
from nnwidgets.engine.diagnosis.evidence._base import EvidenceTest, Steps
from nnwidgets.engine.diagnosis.records import Evidence

__all__ = ["Retrain", "blames_training", "retrained"]

_TRAINING = ("learning_rate_high", "learning_rate_low", "training_algorithm", "regularization_too_strong")
_NOT_TRAINING = ("enlarge_network", "labels", "low_signal")


def retrained(ctx: Context) -> Generator[None, None, Refit]:
    """The run itself, which other tests compare with."""
    return ctx.refit(ctx.fresh(seed=3), ctx.usual, most_s=1.6)


def blames_training(found: Mapping[str, Evidence]) -> bool | None:
    """Whether a usual recipe learnt what this training did not; None before that was tried."""
    run = found.get("retrain")
    return None if run is None or run.state != "done" else run.weights.get(_TRAINING[0], 0.0) > 0


class Retrain(EvidenceTest):
    """Where a usual recipe learns what this training did not, the training is to blame; else the network or the data are."""

    name = "retrain"
    title = "Trained anew by a usual recipe"
    causes = ("learning_rate_high", "learning_rate_low", "training_algorithm", "regularization_too_strong")
    method = "E_train after a short run of Adam at 1e-3 from new weights, beside E_train as it is"
    source = "the lecture, L5 and L6"
    seconds = 2.0

    def worth(self, branch: str, found: Mapping[str, Evidence]) -> float:
        return 3.0 if branch == "train_high" else 0.0

    def why_not(self, ctx: Context) -> str:
        return ctx.why_untrainable()

    def steps(self, ctx: Context) -> Steps:
        found: Refit = yield from ctx.kept("retrain", lambda: retrained(ctx))
        now = yield from ctx.error("train")
        z, gain = apart(now, found.train), now.value - found.train.value
        numbers = {"E_train": now.value, "E_train anew": found.train.value, "E_val anew": found.val.value, "z": z}
        if z > 4 and gain > 0.05:
            errors = f"{100 * now.value:.0f} % to {100 * found.train.value:.1f} %"
            text = f"trained anew for {found.seconds:.1f} s, E_train falls from {errors}"
            weights = (
                dict.fromkeys(_TRAINING, 1.5) | dict.fromkeys(_NOT_TRAINING, -3.0) | {"implementation": 1.0, "dead_units": 1.0}
            )
            return weights, text, numbers
        weights = dict.fromkeys(_TRAINING, -2.0) | {"enlarge_network": 0.5, "labels": 0.5, "low_signal": 0.5}
        return weights, "", numbers
