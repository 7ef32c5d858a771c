"""The bundled examples as experiments."""

from __future__ import annotations

from nnwidgets.engine.experiment._experiment import Experiment

__all__ = ["list_examples", "load_example"]


def list_examples() -> list[str]:
    """Names that ``load_example`` takes."""
    from nnwidgets.engine.zoo.examples import list_examples as names

    return names()


def load_example(name: str = "digits") -> Experiment:
    """A trained network with its data, bundled: nothing is downloaded.

    Args:
        name: one of ``list_examples()``; a data set alone stands for its default network ("digits" is "digits/lenet5").

    Raises:
        InputError: an unknown name; the nearest names are offered.
    """
    from nnwidgets.engine.zoo.examples import example_parts

    parts = example_parts(name)
    return Experiment(
        parts.model,
        train=parts.train,
        test=parts.test,
        val=parts.val,
        goal=parts.goal,
        class_names=parts.class_names,
        build=parts.build,
        training=parts.setup,
        title=parts.title,
        example=name,
    )
