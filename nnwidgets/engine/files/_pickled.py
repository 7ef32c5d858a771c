"""A state dict out of a ``.pt`` file. ``torch.load(weights_only=True)`` runs no code; here is what it does not look at.

Its pickle may ask for any number of bytes (``bytearray(10**11)`` is on its list), its zip may be compressed a thousandfold, a
storage may claim more bytes than its record has, and a tensor of stride 0 is as large as it likes.
"""

from __future__ import annotations

import pickletools
import zipfile
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from nnwidgets.engine.errors import FileError

__all__ = ["read_pickled"]

_LARGEST_PICKLE = 8_000_000  # bytes; it names the tensors, about 200 bytes each
_LEGACY_PICKLES = 4  # magic number, version, machine, and the state dict; the numbers follow
_HARMLESS = frozenset(
    f"torch {kind}Storage" for kind in ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
) | {
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
}


def read_pickled(path: Path, limit: int, mapped: bool = True) -> dict[str, Tensor]:
    """Return the state dict in a file of ``torch.save``: names and dense tensors on the cpu, nothing else.

    The numbers stay in the file until they are read (files before torch 1.6 are read whole): copy what is kept.

    Args:
        limit: bytes; a larger file is refused before it is read. mapped: False for numbers that are read now, to be kept as they
            are: half the memory of copies.

    Raises:
        FileError: missing, too large, damaged, of another kind, or with anything in it that a state dict does not need.
    """
    if not path.is_file():
        raise FileError(f"{path} is not a file; expected a state dict as .safetensors, .pt or .pth.")
    try:
        size = path.stat().st_size
        if size > limit:
            raise FileError(f"{path} has {size:,} bytes; expected at most {limit:,}. It is not read.")
        with path.open("rb") as stream:
            zipped = stream.read(4) == b"PK\3\4"
            stream.seek(0)
            if zipped:
                _check_pickle(BytesIO(_pickle_in_zip(stream, size)), 1)
            else:
                _check_pickle(stream, _LEGACY_PICKLES)
        # Mapped storages cannot reach beyond the file; torch cannot map old files, but compares their sizes itself.
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
        checked = _checked(found, size)
        if mapped or not zipped:
            return checked
        return _checked(torch.load(path, map_location="cpu", weights_only=True), size)
    except FileError:
        raise
    except Exception as error:  # an unpickler raises anything at all on damaged bytes, struct.error among it
        words = f"{type(error).__name__}: {str(error)[:200]}"
        raise FileError(
            f"{path} is no state dict to be read safely ({words}); expected what torch.save(model.state_dict(), path) wrote."
        ) from error


def _pickle_in_zip(stream: IO[bytes], size: int) -> bytes:
    with zipfile.ZipFile(stream) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries) or sum(e.file_size for e in entries) > size:
            raise ValueError("its parts are compressed or overlap, torch stores them as they are")
        pickles = [entry for entry in entries if entry.filename.endswith("/data.pkl")]
        if len(pickles) != 1 or pickles[0].file_size > _LARGEST_PICKLE:
            raise ValueError(f"got {len(pickles)} pickles in it, expected one of at most {_LARGEST_PICKLE:,} bytes")
        return archive.read(pickles[0])


def _check_pickle(stream: IO[bytes], count: int) -> None:
    """Go through the steps of pickles without doing any of them."""
    for _ in range(count):
        for step, argument, position in pickletools.genops(stream):
            if (position or 0) > _LARGEST_PICKLE:
                raise ValueError(f"its list of tensors is longer than {_LARGEST_PICKLE:,} bytes")
            if step.name in ("GLOBAL", "INST", "STACK_GLOBAL", "EXT1", "EXT2", "EXT4") and argument not in _HARMLESS:
                raise ValueError(f"it asks for {str(argument).replace(' ', '.')!r:.80}, which no state dict needs")


def _checked(found: Any, size: int) -> dict[str, Tensor]:
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise ValueError(f"got a {type(found).__name__}, expected names with tensors")
    storages: dict[int, int] = {}
    for name, value in found.items():
        if not isinstance(value, Tensor) or value.layout is not torch.strided or value.device.type != "cpu":
            raise ValueError(f"{name!r:.80} is no dense tensor on the cpu but a {type(value).__name__}")
        storage = value.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        if value.numel() * value.element_size() > storage.nbytes():
            raise ValueError(
                f"{name!r:.80} claims {value.numel():,} numbers and holds {storage.nbytes() // value.element_size():,}"
            )
    if sum(storages.values()) > size:
        raise ValueError(f"its tensors claim {sum(storages.values()):,} bytes, the file has {size:,}")
    return found
