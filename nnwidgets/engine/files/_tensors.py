"""Tensors out of a safetensors file that may be damaged, or made to do harm."""

from __future__ import annotations

import os
import struct
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from nnwidgets.engine.errors import FileError

__all__ = ["check_header", "read_tensors"]

_LARGEST_HEADER = 4_000_000  # bytes; a header of 1,000 tensors has about 100,000


def read_tensors(path: str | os.PathLike[str], limit: int) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors of a safetensors file and the text that was written beside them.

    The numbers stay in the file until they are read: copy what is kept.

    Args:
        limit: bytes; a larger file is refused before it is read.

    Raises:
        FileError: missing, too large, cut off, damaged or of another kind.
    """
    source = Path(path)
    check_header(source, limit)
    try:
        with safe_open(source, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, TypeError, RuntimeError, AttributeError) as error:
        raise FileError(
            f"{source} is damaged ({_short(error)}); expected a whole safetensors file. Get or write it again."
        ) from error


def check_header(source: Path, limit: int, largest: int = _LARGEST_HEADER) -> None:
    """Look at the first bytes of a safetensors file: whether its header can be parsed at a small cost.

    Parsed, a header takes up to forty times its size in memory, and the format allows 100 MB of it.

    Args:
        limit: bytes of the file; largest: bytes of its header.

    Raises:
        FileError: missing, too large, cut off, or of another kind.
    """
    if not source.is_file():
        raise FileError(f"{source} is not a file; expected the path of a safetensors file.")
    try:
        size = source.stat().st_size
        with source.open("rb") as stream:
            start = stream.read(9)
    except OSError as error:
        raise FileError(f"{source} cannot be read: {_short(error)}. Is it readable for you?") from error
    if size > limit:
        raise FileError(f"{source} has {size:,} bytes; expected at most {limit:,}. It is not read.")
    length = struct.unpack("<Q", start[:8])[0] if len(start) == 9 else size
    if length > size - 8 or start[8:] != b"{":
        raise FileError(f"{source} has {size:,} bytes; expected a whole safetensors file. It is cut off; get or write it again.")
    if length > largest:
        raise FileError(f"{source} has a header of {length:,} bytes; expected at most {largest:,}. It is not read.")


def _short(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error)[:200]}"
