"""Lazy public names of a package (PEP 562), so that an import costs nothing until a name is used."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["lazy_names"]


def lazy_names(package: str, where: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` for a package.

    Args:
        package: the package's ``__name__``.
        where: public name -> the module that defines it, relative to the package (``".engine.jobs"``). A name that equals the
            last part of its module, written with a trailing dot (``".engine."``), is that module itself.
    """

    def __getattr__(name: str) -> Any:  # noqa: N807 - the name that PEP 562 asks for
        target = where.get(name)
        if target is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}; public names: {', '.join(sorted(where))}")
        if target.endswith("."):
            return importlib.import_module(target[:-1], package)
        return getattr(importlib.import_module(target, package), name)

    def __dir__() -> list[str]:  # noqa: N807 - as above
        return sorted(where)

    return __getattr__, __dir__
