"""Remedies that change the samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from nnwidgets.engine.diagnosis._arms import Arm, Loss
from nnwidgets.engine.diagnosis._context import Context, answers_of, first_of
from nnwidgets.engine.diagnosis._suspects import suspected_labels, taken
from nnwidgets.engine.diagnosis.evidence.duplicates import marks_of
from nnwidgets.engine.diagnosis.evidence.neighbours import moved_by
from nnwidgets.engine.diagnosis.evidence.noise import sigma_of
from nnwidgets.engine.diagnosis.evidence.transforms import ways_of
from nnwidgets.engine.diagnosis.remedies._base import Changed, Remedy
from nnwidgets.engine.errors import DataError
from nnwidgets.engine.training._own_steps import OwnStep
from nnwidgets.engine.values.split import Split

__all__ = [
    "DropSuspects", "MendTest", "MoreData", "MoveLabels", "NoCopies", "NoisyTraining", "Normalize", "Relabel", "Resample",
    "Reweight", "ScaleTest", "Smooth",
]  # fmt: skip

_LEAST = 20  # images a training needs
_STRONGEST = 1.2  # times the noise by which S_test has more
_MOST_BYTES = 2**29  # of a sample that is kept as floats


def relabelled(split: Split, labels: Tensor) -> Split:
    """The same images with other labels."""
    return split.like(split.images, labels)


def as_floats(split: Split, change: Callable[[Tensor], Tensor]) -> Split:
    """What a network is fed, changed, as a sample of its own.

    Raises:
        DataError: it would take more than half a gigabyte.
    """
    size = 4 * split.images.numel()
    if size > _MOST_BYTES:
        raise DataError(f"{len(split):,} images as floats take {size / 1e6:,.0f} MB; use fewer images, or change them yourself.")
    return Split(change(split.inputs(slice(None))), split.labels, class_names=split.class_names, notes=split.notes)


class MoreData(Remedy):
    """Images that were held back."""

    name = "more_data"
    title = "Add the reserve to S_train"
    text = "All images that were held back (Experiment(..., reserve=...)) are trained on too."
    causes = ("more_data", "imbalance")

    def why_not(self, ctx: Context) -> str:
        """See Remedy."""
        if ctx.exp.reserve is None:
            return "no reserve was given: Experiment(..., reserve=Split(images, labels))"
        return ctx.why_untrainable()

    def change(self, ctx: Context, arm: Arm) -> Changed:
        """See Remedy."""
        more = ctx.exp.reserve
        assert more is not None and more.labels is not None and arm.train.labels is not None
        if more.images.dtype != arm.train.images.dtype:
            raise DataError(f"reserve: stored as {more.images.dtype}, S_train as {arm.train.images.dtype}; store both alike.")
        yield
        both = arm.train.like(torch.cat([arm.train.images, more.images]), torch.cat([arm.train.labels, more.labels]))
        return replace(arm, train=both), f"S_train {len(arm.train):,} to {len(both):,}"


class _OfSuspects(Remedy):
    """Remedies for labels that networks which have not seen them contradict."""

    causes = ("labels",)

    def why_not(self, ctx: Context) -> str:
        """See Remedy."""
        if "train" in ctx.splits and len(ctx.splits["train"]) < 100:
            return "it needs 100 images or more"
        return ctx.why_untrainable()


class DropSuspects(_OfSuspects):
    """Suspects left out, beside as many images left out at random."""

    name = "drop_suspects"
    title = "Drop the suspects"
    text = "Images whose label is contradicted are left out of S_train; compared with leaving out as many at random."

    def change(self, ctx: Context, arm: Arm) -> Changed:
        """See Remedy."""
        return _acted_on(ctx, arm, "drop")

    def control(self, ctx: Context, arm: Arm, changed: Arm) -> Arm:
        """See Remedy."""
        draw = torch.Generator().manual_seed(0)
        keep = torch.randperm(len(arm.train), generator=draw)[: len(changed.train)].sort().values
        return replace(arm, train=arm.train.take(keep))


class Relabel(_OfSuspects):
    """Suspects given the label that the others would give them."""

    name = "relabel_suspects"
    title = "Relabel the suspects"
    text = "Images whose label is contradicted get the label that networks which have not seen them give."

    def change(self, ctx: Context, arm: Arm) -> Changed:
        """See Remedy."""
        return _acted_on(ctx, arm, "relabel")


def _acted_on(ctx: Context, arm: Arm, usual: str) -> Changed:
    """Each suspect dropped or relabelled, as a person decided about it, and else as usual."""
    rows, answers = yield from suspects_of(ctx)
    assert arm.train.labels is not None
    labels, keep = arm.train.labels.clone(), torch.ones(len(arm.train), dtype=torch.bool)
    dropped = torch.tensor([ctx.decisions.get(int(row), usual) == "drop" for row in rows], dtype=torch.bool)
    labels[rows[~dropped]] = answers[~dropped]
    keep[rows[dropped]] = False
    if int(keep.sum()) < _LEAST:
        raise DataError(f"too few images would be left: {int(keep.sum())} of {len(keep)}.")
    n, whole = int(dropped.sum()), f"{len(keep):,}"
    words = [f"{n:,} suspects of {whole} dropped"] if n else []
    words += [f"{len(rows) - n:,} labels of {whole} changed"] if len(rows) > n else []
    train = relabelled(arm.train, labels).take(keep.nonzero()[:, 0])
    return replace(arm, train=train), ", ".join(words) or "no suspect was found"


def suspects_of(ctx: Context) -> Generator[None, None, tuple[Tensor, Tensor]]:
    """(rows of S_train that are suspect, what the others say). What a person decided about an image counts first."""
    found = yield from suspected_labels(ctx)
    return taken(ctx, found)


class Resample(Remedy):
    """Rare classes drawn more often."""

    name = "resample"
    title = "Resample the rare classes"
    text = "Images of rare classes are repeated until each class has as many as the largest; E_val counts each class alike."
    causes = ("imbalance",)
    measure = "balanced"

    def change(self, ctx: Context, arm: Arm) -> Changed:
        """See Remedy."""
        labels = arm.train.labels
        assert labels is not None
        counts = torch.bincount(labels)
        draw = torch.Generator().manual_seed(0)
        rows = [torch.arange(len(labels))]
        for label, count in enumerate(counts.tolist()):
            where = (labels == label).nonzero()[:, 0]
            lacking = int(counts.max()) - count
            if count and lacking:
                rows.append(where[torch.randint(count, (lacking,), generator=draw)])
        yield
        taken = torch.cat(rows)
        return replace(arm, train=arm.train.take(taken)), f"S_train {len(labels):,} to {len(taken):,}, all classes alike"


class Reweight(Remedy):
    """Rare classes count more in the loss."""

    name = "reweight"
    title = "Reweight the loss"
    text = "Cross entropy with weights of one over the count of each class; E_val counts each class alike."
    causes = ("imbalance",)
    measure = "balanced"

    def why_not(self, ctx: Context) -> str:
        """See Remedy."""
        if ctx.exp.loss is not None or ctx.exp.train_step is not None or ctx.exp.fit is not None:
            return "the loss is your own; resample instead"
        return ctx.why_untrainable()

    def change(self, ctx: Context, arm: Arm) -> Changed:
        """See Remedy."""
        logits = yield from ctx.logits("train")
        labels = arm.train.labels
        assert labels is not None
        counts = torch.bincount(labels, minlength=logits.shape[1]).float().clamp_min(1)
        weight = counts.reciprocal() * (counts.sum() / len(counts))
        loss = lambda answers, given: F.cross_entropy(answers, given, weight=weight.to(answers))  # noqa: E731
        return replace(arm, loss=loss), f"weights of {float(weight.min()):.2g} to {float(weight.max()):.2g}"


class Normalize(Remedy):
    """Both samples brought to mean 0 and deviation 1 of S_train."""

    name = "normalize"
    title = "Normalise the images"
    text = "Less the mean of S_train, divided by its deviation, in each channel; in all samples alike."
    causes = ("preprocessing",)

    def change(self, ctx: Context, arm: Arm) -> Changed:
        """See Remedy."""
        fed = first_of(arm.train, len(arm.train))
        axes = tuple(i for i in range(fed.dim()) if i != 1) if fed.dim() == 4 else tuple(range(fed.dim()))
        mean, std = fed.mean(axes, keepdim=True)[0], fed.std(axes, keepdim=True)[0].clamp_min(1e-6)
        yield
        mend = lambda x: (x - mean) / std  # noqa: E731
        words = f"mean {float(mean.mean()):.3g} to 0, deviation {float(std.mean()):.3g} to 1"
        return _mended(arm, mend), words


def _mended(arm: Arm, mend: Callable[[Tensor], Tensor]) -> Arm:
    """All samples changed alike."""
    val, test = (None if split is None else as_floats(split, mend) for split in (arm.val, arm.test))
    return replace(arm, train=as_floats(arm.train, mend), val=val, test=test)


class _TestOnly(Remedy):
    """Remedies for S_test alone: nothing is trained; half of S_test decides, the other half is reported."""

    measure = "test"
    causes = ("mismatch", "preprocessing")
    beside_given = True

    def why_not(self, ctx: Context) -> str:
        """See Remedy."""
        return "" if {"train", "test"} <= set(ctx.splits) else "it needs S_train and S_test"


class ScaleTest(_TestOnly):
    """S_test with the mean and the deviation of S_train."""

    name = "scale_test"
    title = "Scale S_test as S_train"
    text = "S_test gets the mean and the deviation of S_train, in each channel; nothing is trained."

    def change(self, ctx: Context, arm: Arm) -> Changed:
        """See Remedy."""
        assert arm.test is not None
        x, like = first_of(arm.test, len(arm.test)), first_of(arm.train, len(arm.train))
        axes = (0, 2, 3) if x.dim() == 4 else tuple(range(x.dim()))
        yield
        mean, std = x.mean(axes, keepdim=True)[0], x.std(axes, keepdim=True)[0].clamp_min(1e-9)
        to_mean, to_std = like.mean(axes, keepdim=True)[0], like.std(axes, keepdim=True)[0]
        test = as_floats(arm.test, lambda images: (images - mean) / std * to_std + to_mean)
        words = f"S_test from mean {float(mean.mean()):.3g}, deviation {float(std.mean()):.3g} to those of S_train"
        return replace(arm, test=test, given=ctx.network), words


class MendTest(_TestOnly):
    """S_test prepared in the way that makes its error fall most."""

    name = "mend_test"
    title = "Prepare S_test in another way"
    text = "Of transposing, mirroring, inverting, shifting and scaling, that which half of S_test likes best; nothing is trained."

    def why_not(self, ctx: Context) -> str:
        """See Remedy."""
        return super().why_not(ctx) or ("" if len(ctx.exp.input_shape) == 3 else "it needs images")

    def change(self, ctx: Context, arm: Arm) -> Changed:
        """See Remedy."""
        assert arm.test is not None
        test: Split = arm.test
        few = test.take(torch.arange(0, len(test), 2)[:400])  # of the half that decides
        assert few.labels is not None
        ways, errors = ways_of(few.inputs(slice(None)), ctx.inputs("train", 400)), {}
        for name, make in ways.items():
            logits = yield from answers_of(ctx.network, Split(make(), few.labels))
            errors[name] = float((logits.argmax(1) != few.labels).double().mean())
        best = min(errors, key=lambda name: errors[name])
        mended = as_floats(test, lambda images: ways_of(images, ctx.inputs("train", 400))[best]())
        return replace(arm, test=mended, given=ctx.network), f"S_test {best}"


class NoisyTraining(Remedy):
    """Noise of S_test put into training."""

    name = "noisy_training"
    title = "Train with the noise of S_test"
    text = "Each batch gets as much noise as S_test has more than S_train, of a strength between none and that."
    causes = ("mismatch",)
    measure = "test"

    def why_not(self, ctx: Context) -> str:
        """See Remedy."""
        if "test" not in ctx.splits:
            return "it needs S_test"
        shape = ctx.exp.input_shape
        if len(shape) != 3 or min(shape[1:]) < 5:
            return "it needs images of 5 x 5 pixels or more"
        return ctx.why_untrainable() or ("your own fit draws the batches" if ctx.exp.fit is not None else "")

    def change(self, ctx: Context, arm: Arm) -> Changed:
        """See Remedy."""
        a, b = sigma_of(ctx.inputs("train", 300)), sigma_of(ctx.inputs("test", 300))
        yield
        sigma = math.sqrt(max(0.0, b * b - a * a))
        if sigma < 0.02:
            raise DataError(
                f"S_test is not noisier than S_train: deviations of {b:.3g} and {a:.3g}. Look for another difference."
            )

        inner = arm.step or usual_step(arm.loss)

        def step(network: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor) -> Tensor:
            """The step as it was, on images with noise: the same batch gets the same, so that a seed gives the same run."""
            draw = torch.Generator().manual_seed(int(1e6 * float(images.double().abs().sum())) % 2**31)
            strength = torch.rand(len(images), *[1] * (images.dim() - 1), generator=draw) * _STRONGEST
            noise = (sigma * strength * torch.randn(images.shape, generator=draw)).to(images)
            found: Tensor = inner(network, optimizer, images + noise, labels)
            return found

        return replace(arm, step=step), f"noise of up to {_STRONGEST * sigma:.3g} in each batch"


def usual_step(loss: Loss | None) -> OwnStep:
    """What `fit` does in a step, as one of one's own."""

    def step(network: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor) -> Tensor:
        """One update on a batch; returns the loss."""
        optimizer.zero_grad(set_to_none=True)
        value: Tensor = (loss or F.cross_entropy)(network(images), labels)
        torch.autograd.backward(value)
        optimizer.step()
        return value

    return step


class NoCopies(Remedy):
    """Images of S_test taken out of S_train."""

    name = "no_copies"
    title = "Take the copies out of S_train"
    text = "Images of S_test that stand in S_train are left out, and the network is trained anew: E_test then tells the truth."
    causes = ("leakage",)
    measure = "none"

    def why_not(self, ctx: Context) -> str:
        """See Remedy."""
        return "it needs S_test" if "test" not in ctx.splits else ctx.why_untrainable()

    def change(self, ctx: Context, arm: Arm) -> Changed:
        """See Remedy."""
        assert arm.test is not None
        there = set(marks_of(arm.test.images))
        yield
        keep = torch.tensor([mark not in there for mark in marks_of(arm.train.images)])
        copies = int((~keep).sum())
        if not copies:
            raise DataError("no image of S_test stands in S_train; there is nothing to take out.")
        return replace(arm, train=arm.train.take(keep.nonzero()[:, 0])), f"{copies:,} copies taken out of S_train"


class MoveLabels(Remedy):
    """Labels moved back to their images."""

    name = "move_labels"
    title = "Move the labels to their images"
    text = "Labels of S_train and S_val are moved by as many places as makes similar images agree; half of S_test decides."
    causes = ("implementation",)
    measure = "test"

    def why_not(self, ctx: Context) -> str:
        """See Remedy."""
        return "it needs S_test" if "test" not in ctx.splits else ctx.why_untrainable()

    def change(self, ctx: Context, arm: Arm) -> Changed:
        """See Remedy."""
        by, now, moved = yield from moved_by(arm.train)
        if moved < now + 0.15:
            raise DataError(f"labels fit the images as they are: neighbours agree in {100 * now:.0f} %.")
        assert arm.train.labels is not None
        train = relabelled(arm.train, arm.train.labels.roll(by))
        val = arm.val if arm.val is None or arm.val.labels is None else relabelled(arm.val, arm.val.labels.roll(by))
        return replace(arm, train=train, val=val), f"labels moved by {by}"


class Smooth(Remedy):
    """Noise averaged away."""

    name = "smooth"
    title = "Smooth the images"
    text = "Each pixel becomes a mean of its neighbourhood (binomial, 3 x 3), in all samples."
    causes = ("low_signal",)

    def why_not(self, ctx: Context) -> str:
        """See Remedy."""
        return ctx.why_untrainable() if len(ctx.exp.input_shape) == 3 else "it needs images"

    def change(self, ctx: Context, arm: Arm) -> Changed:
        """See Remedy."""
        line = np.array([1.0, 2.0, 1.0]) / 4
        mask = torch.tensor(np.outer(line, line), dtype=torch.float32)

        def blur(images: Tensor) -> Tensor:
            c = images.shape[1]
            padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
            return F.conv2d(padded, mask.to(images).expand(c, 1, 3, 3), groups=c)

        yield
        return _mended(arm, blur), "smoothed by 3 x 3"
