"""A trait for what is removed: named structures and n:m patterns."""

from __future__ import annotations

from typing import Any

import traitlets

from nnwidgets.engine.errors import RecipeError
from nnwidgets.engine.values.recipe import Pruning

__all__ = ["StructureTrait"]


class StructureTrait(traitlets.Unicode[str, Any]):
    """What ``Pruning(structure=...)`` takes."""

    def allows(self, value: str) -> bool:
        """True for a structure that can be asked for."""
        try:
            Pruning(0.0, value)
        except RecipeError:
            return False
        return True

    def validate(self, obj: Any, value: Any) -> str:
        """Raise TraitError for what is no structure."""
        text: str = super().validate(obj, value)
        if not self.allows(text):
            self.error(obj, value)
        return text
