"""What the network is fed."""

from __future__ import annotations

from nnwidgets.engine.diagnosis._context import Context
from nnwidgets.engine.diagnosis.evidence._base import EvidenceTest, Steps

__all__ = ["Inputs"]

_LARGE, _FAR = 6.0, 2.0


class Inputs(EvidenceTest):
    """Images are fed with a mean about 0 and a deviation about 1; S_train and S_test alike."""

    name = "inputs"
    title = "Scale of the images"
    causes = ("preprocessing", "mismatch")
    method = "mean and standard deviation of what is fed, S_train beside S_test"
    source = "LeCun et al. 1998, Efficient BackProp"

    def steps(self, ctx: Context) -> Steps:
        fed = {name: ctx.inputs(name, 1000) for name in ("train", "test") if name in ctx.splits}
        yield
        told = {name: (float(x.mean()), float(x.std())) for name, x in fed.items()}
        numbers = {
            f"{what} of S_{name}": value
            for name, pair in told.items()
            for what, value in zip(("mean", "deviation"), pair, strict=True)
        }
        train = told.get("train", told.get("test", (0.0, 1.0)))
        weights: dict[str, float] = {}
        text = ""
        if max(abs(train[0]), train[1]) > _LARGE:
            # Such images drive weights and units to where a wrong rate would.
            weights = {"preprocessing": 8.0, "learning_rate_high": -5.0, "dead_units": -4.0}
            text = f"images are fed as stored: mean {train[0]:.1f}, deviation {train[1]:.1f}, expected about 0 and 1"
        elif len(told) == 2:
            test = told["test"]
            apart = abs(test[0] - train[0]) / max(train[1], 1e-9)
            wider = max(test[1], 1e-9) / max(train[1], 1e-9)
            if apart > 0.5 or wider > _FAR or wider < 1 / _FAR:
                weights = {"preprocessing": 5.0, "mismatch": 4.5}
                text = (
                    f"S_test is fed with mean {test[0]:.2f} and deviation {test[1]:.2f}, "
                    f"S_train with {train[0]:.2f} and {train[1]:.2f}"
                )
        return weights, text, numbers
