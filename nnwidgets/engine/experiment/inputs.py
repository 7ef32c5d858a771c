"""What is given to an Experiment, checked and brought into one form."""

from __future__ import annotations

from typing import Any

from torch import nn

from nnwidgets.engine.errors import DataError, InputError, ModelError, UnsupportedError
from nnwidgets.engine.values.split import Split

__all__ = ["as_split", "check_goal", "check_model_type", "class_names_for", "refuse_later"]


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
            f"{', '.join(named)}: not in this version; it comes with the error analysis. Leave it out for now."
        )
