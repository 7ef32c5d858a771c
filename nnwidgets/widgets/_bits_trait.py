"""A trait for the bits of each layer."""

from __future__ import annotations

from typing import Any

import traitlets

__all__ = ["LayerBits"]


class LayerBits(traitlets.TraitType[Any, Any]):
    """{layer: bits}, 1 to 8 or 32."""

    info_text = "a mapping of layer names to bits, 1 to 8 or 32"

    allowed = (*range(1, 9), 32)

    def allows(self, value: object) -> bool:
        """True for a mapping of names to numbers of bits, of one layer at least."""
        return (
            isinstance(value, dict)
            and bool(value)
            and all(
                isinstance(name, str) and isinstance(bits, int) and not isinstance(bits, bool) and bits in self.allowed
                for name, bits in value.items()
            )
        )

    def validate(self, obj: Any, value: Any) -> Any:
        """Raise TraitError for anything else."""
        if not self.allows(value):
            self.error(obj, value)
        return dict(value)
