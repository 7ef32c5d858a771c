"""What is given to an Experiment, checked and brought into one form."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from nnwidgets.engine.errors import DataError, InputError, ModelError, UnsupportedError
from nnwidgets.engine.values.split import Split

__all__ = [
    "as_probabilities",
    "as_split",
    "check_function",
    "check_goal",
    "check_model_type",
    "class_names_for",
    "left_by_carving",
    "refuse_later",
]

_OFF = 1e-3  # how far a row of probabilities in low precision may be from 1


def as_split(data: Any, name: str) -> Split | None:
    """A Split as it is, anything else through ``Split.from_dataset``.

    Raises:
        DataError: no labels, or nothing that can be read as a data set; the message names which split it was.
    """
    if data is None:
        return None
    try:
        split = data if isinstance(data, Split) else Split.from_dataset(data)
    except DataError as error:
        raise DataError(f"{name}: {error}") from error
    if split.labels is None:
        raise DataError(f"{name}: got images without labels; an experiment measures errors. Expected Split(images, labels).")
    return split


def check_model_type(model: object) -> nn.Module:
    """The model, if it is one.

    Raises:
        ModelError: it is no ``torch.nn.Module``.
    """
    if not isinstance(model, nn.Module):
        raise ModelError(f"model: got {type(model).__name__}, expected a torch.nn.Module that maps images to logits (B, K).")
    return model


def check_goal(goal: object) -> float:
    """The goal error as a share.

    Raises:
        InputError: not a number inside (0, 1).
    """
    if isinstance(goal, bool) or not isinstance(goal, int | float) or not 0 < goal < 1:
        raise InputError(f"goal: got {goal!r}, expected the error that is needed as a share inside (0, 1), such as 0.03 for 3 %.")
    return float(goal)


def class_names_for(names: Any, classes: int) -> tuple[str, ...]:
    """One name a class.

    Raises:
        DataError: another number of names than classes in the data.
    """
    if names is None:
        return tuple(str(index) for index in range(classes))
    given = tuple(str(name) for name in names)
    if len(given) < classes:
        raise DataError(
            f"class_names: got {len(given)} names, the labels need {classes}. Give one name a class, in the order of the labels."
        )
    return given


def refuse_later(**given: object) -> None:
    """Refuse options that a later version brings, rather than take them without effect.

    Raises:
        UnsupportedError: one of them was given.
    """
    named = [name for name, value in given.items() if value is not None]
    if named:
        raise UnsupportedError(
            f"{', '.join(named)}: not in this version; errors are shares of wrong answers. Leave it out for now."
        )


def check_function(name: str, value: object) -> None:
    """Check that what was given as a function can be called.

    Raises:
        InputError: it cannot.
    """
    if value is not None and not callable(value):
        raise InputError(f"{name}: got {type(value).__name__}, expected a function; see help(Experiment) for what it is given.")


def as_probabilities(values: Any, train: Split | None) -> npt.NDArray[np.float64] | None:
    """Out-of-fold probabilities as an array (N, K) of their own.

    Raises:
        InputError: no S_train, another shape, or rows that are no probabilities.
    """
    if values is None:
        return None
    if train is None:
        raise InputError("pred_probs: got probabilities without train=; give the images that they are of.")
    try:
        found = np.array(values.detach().cpu().double().numpy() if isinstance(values, Tensor) else values, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"pred_probs: got {type(values).__name__}, expected an array ({len(train)}, K) of numbers.") from error
    if found.ndim != 2 or len(found) != len(train) or found.shape[1] < train.n_classes:
        raise InputError(
            f"pred_probs: got shape {found.shape}, expected ({len(train)}, K) with K of at least {train.n_classes}: "
            "a row for each image of train, a column for each class."
        )
    if not bool((found >= 0).all() and (np.abs(found.sum(1) - 1) <= _OFF).all()):
        raise InputError("pred_probs: got rows that are no probabilities, expected numbers of at least 0 that sum to 1.")
    return found


def left_by_carving(train: Split) -> npt.NDArray[np.int64]:
    """Positions of the images that stay in S_train once S_val is carved out of it."""
    numbers: npt.NDArray[np.int64] = (
        Split(torch.arange(len(train), dtype=torch.float64)[:, None], train.labels).carve()[0].images[:, 0].long().numpy()
    )
    return numbers
