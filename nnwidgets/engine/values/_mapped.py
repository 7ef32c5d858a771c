"""A file that images are mapped from, watched for being cut off: touching what is no longer there kills a process (SIGBUS)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnwidgets.engine.errors import DataError

__all__ = ["MappedFile"]


@dataclass(frozen=True)
class MappedFile:
    """Where mapped images end.

    Attributes:
        name: of the file. identity: device and inode; another file of that name later on is no danger to the mapping.
        end: bytes that the file must have.
    """

    name: str
    identity: tuple[int, int]
    end: int

    @classmethod
    def of(cls, images: Any) -> MappedFile | None:
        """The file of a memory-mapped array that is used as it is, None for any other."""
        if (
            not isinstance(images, np.memmap)
            or not images.filename
            or not images.flags.c_contiguous
            or images.dtype == np.float64
        ):
            return None
        whole = images
        while isinstance(whole.base, np.memmap):
            whole = whole.base
        try:
            found = os.stat(images.filename)
        except OSError:  # deleted: its numbers stay as long as it is mapped, or were copied
            return None
        start = whole.offset + images.ctypes.data - whole.ctypes.data
        return cls(str(images.filename), (found.st_dev, found.st_ino), start + images.nbytes)

    def check(self) -> None:
        """Raise DataError where the file is shorter than what was mapped; a microsecond or two."""
        try:
            found = os.stat(self.name)
        except OSError:
            return
        if (found.st_dev, found.st_ino) == self.identity and found.st_size < self.end:
            raise DataError(
                f"images: the file {self.name} has {found.st_size:,} bytes now, expected {self.end:,}; it was cut off or is "
                "being written anew. Write it again in full, or make a new Split from it."
            )
