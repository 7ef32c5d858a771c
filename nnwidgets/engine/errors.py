"""The exceptions of the engine.

Every message says what was got, what was expected and what to do next.

```
NnwError
├── InputError (ValueError)       something given by the caller is wrong
│   ├── DataError                 a split, its images or labels
│   ├── ModelError                a network that cannot be used as it is
│   └── RecipeError               a recipe that is malformed or does not fit this network
├── UnsupportedError (NotImplementedError)   a known thing that this version or this network cannot do
├── FileError (OSError)           a file that is missing, damaged, too large or of another kind
└── OutOfMemoryError (MemoryError)  not enough memory, also after trying with less
```
"""

from __future__ import annotations

__all__ = [
    "DataError",
    "FileError",
    "InputError",
    "ModelError",
    "NnwError",
    "OutOfMemoryError",
    "RecipeError",
    "UnsupportedError",
]


class NnwError(Exception):
    """Base of all errors that this package raises on purpose."""


class InputError(NnwError, ValueError):
    """A value given by the caller is wrong."""


class DataError(InputError):
    """A split, its images or its labels cannot be used."""


class ModelError(InputError):
    """A network cannot be used as it is."""


class RecipeError(InputError):
    """A recipe is malformed or does not fit the network.

    Attributes:
        largest: the largest share that would be accepted, where the share was too large, else None.
    """

    def __init__(self, message: str, *, largest: float | None = None) -> None:
        super().__init__(message)
        self.largest = largest


class UnsupportedError(NnwError, NotImplementedError):
    """A known thing that this version, or this network, cannot do."""


class FileError(NnwError, OSError):
    """A file is missing, damaged, too large or of another kind."""


class OutOfMemoryError(NnwError, MemoryError):
    """There is not enough memory, also after trying with less."""
