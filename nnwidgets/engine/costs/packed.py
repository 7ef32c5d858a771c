"""A file of few byte streams: safetensors with a description as JSON, an integrity check, and no code in it.

Here is only the container; what goes into it is decided by `nnwidgets.engine.compression`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from nnwidgets.engine.errors import FileError
from nnwidgets.engine.files import check_header, written_whole

__all__ = [
    "STREAMS",
    "container_bytes",
    "content_text",
    "description_bytes",
    "fill_container",
    "pack_bits",
    "read_container",
    "unpack_bits",
    "write_container",
]

# In the order in which safetensors writes them: wide types first, then by name. With the bytes of an element.
STREAMS = {
    "scales": ("F32", 4),
    "table": ("I32", 4),
    "codes": ("U8", 1),
    "index": ("U8", 1),
    "others": ("U8", 1),
    "zero_points": ("U8", 1),
}
_TYPES = {"F32": np.float32, "I32": np.int32, "U8": np.uint8}
_FORMAT, _VERSION = "nnwidgets.packed", "1"
_CHUNK = 1 << 20  # codes packed at a time; a multiple of 8, so that chunks end on whole bytes

Streams = Mapping[str, npt.NDArray[Any]]


def pack_bits(codes: npt.NDArray[np.uint8], bits: int) -> npt.NDArray[np.uint8]:
    """Pack (n,) codes below 2**bits into ceil(n * bits / 8) bytes, most significant bit first."""
    if bits == 8:
        return codes
    parts = [np.packbits(np.unpackbits(codes[i : i + _CHUNK, None], axis=1)[:, 8 - bits :]) for i in range(0, len(codes), _CHUNK)]
    return np.concatenate(parts) if parts else np.zeros(0, np.uint8)


def unpack_bits(packed: npt.NDArray[np.uint8], bits: int, count: int) -> npt.NDArray[np.uint8]:
    """Return the ``count`` codes that `pack_bits` packed."""
    if bits == 8:
        return packed[:count]
    step, parts = _CHUNK * bits // 8, []
    for i in range(0, len(packed), step):
        codes = min(_CHUNK, count - i * 8 // bits)
        wide = np.zeros((codes, 8), np.uint8)
        wide[:, 8 - bits :] = np.unpackbits(packed[i : i + step], count=codes * bits).reshape(codes, bits)
        parts.append(np.packbits(wide, axis=1)[:, 0])
    return np.concatenate(parts) if parts else np.zeros(0, np.uint8)


def container_bytes(description_length: int, lengths: Mapping[str, int]) -> int:
    """Return the size of the file, to the byte.

    Args:
        description_length: what `description_bytes` gives. lengths: elements of each of `STREAMS`.
    """
    header, start = description_length, 0
    for name, (kind, size) in STREAMS.items():
        end = start + lengths[name] * size
        header += len(f',"{name}":{{"dtype":"{kind}","shape":[{lengths[name]}],"data_offsets":[{start},{end}]}}')
        start = end
    return 8 + -(-header // 8) * 8 + start


def content_text(content: Sequence[Any]) -> str:
    """Return the one text that stands for a content in a file: it is compared, not parsed."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def description_bytes(content: Sequence[Any]) -> int:
    """Return the length of the header without the streams."""
    metadata = _metadata(content_text(content), "0" * 32)
    return len(json.dumps({"__metadata__": metadata}, ensure_ascii=False, separators=(",", ":")).encode())


def write_container(path: str | os.PathLike[str], content: Sequence[Any], streams: Streams, overwrite: bool = False) -> int:
    """Write a file in one step (beside its place first, then moved) and return its size in bytes.

    Args:
        content: plain lists, strings and numbers that say what the streams mean. streams: one (n,) array for each of `STREAMS`.

    Raises:
        FileError: the file is there already and ``overwrite`` is not set, or it cannot be written.
    """
    with written_whole(path, overwrite) as spare:
        fill_container(spare, content, streams)
    return Path(path).stat().st_size


def fill_container(spare: str, content: Sequence[Any], streams: Streams) -> None:
    """Write the same into a file that `written_whole` gave."""
    text = content_text(content)
    arrays = {name: np.ascontiguousarray(streams[name], _TYPES[kind]) for name, (kind, _) in STREAMS.items()}
    save_file(arrays, spare, metadata=_metadata(text, _check(text, arrays)))


def read_container(path: str | os.PathLike[str], limit: int, largest_header: int) -> tuple[str, dict[str, npt.NDArray[Any]]]:
    """Return the content, as `content_text` wrote it, and the streams of a file.

    Args:
        limit: bytes; a larger file is refused before it is read. largest_header: bytes of it.

    Raises:
        FileError: missing, too large, of another kind, of a newer version, or damaged (every byte is checked).
    """
    source = Path(path)
    if not source.is_file():
        raise FileError(f"{source} is not a file. Give the path that save_packed() wrote to.")
    check_header(source, limit, largest_header)
    try:
        with safe_open(source, framework="numpy") as file:
            metadata, names = file.metadata() or {}, set(file.keys())
            _check_kind(source, metadata, names)
            arrays = {name: file.get_tensor(name) for name in STREAMS}
    except FileError:
        raise
    except (SafetensorError, OSError, ValueError, TypeError, RuntimeError) as error:
        raise FileError(f"{source} cannot be read: {error}. It is damaged or not a safetensors file; write it again.") from error
    sound = all(a.ndim == 1 and a.dtype == _TYPES[STREAMS[name][0]] for name, a in arrays.items())
    if not sound or metadata["check"] != _check(metadata["content"], arrays):
        raise FileError(f"{source} is damaged: its content does not match its check. Write it again.")
    return metadata["content"], arrays


def _check_kind(source: Path, metadata: Mapping[str, str], names: set[str]) -> None:
    if metadata.get("format") != _FORMAT or set(metadata) != {"format", "version", "content", "check"} or names != set(STREAMS):
        raise FileError(f"{source} is not a packed network of nnwidgets. Give a file that save_packed() wrote.")
    if metadata["version"] != _VERSION:
        raise FileError(
            f"{source} has version {metadata['version']!r:.20}, this nnwidgets reads {_VERSION}. Install a newer nnwidgets."
        )


def _metadata(text: str, check: str) -> dict[str, str]:
    return {"format": _FORMAT, "version": _VERSION, "content": text, "check": check}


def _check(text: str, arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    digest = hashlib.blake2b(text.encode(), digest_size=16)
    for name in STREAMS:
        digest.update(f"|{name}|{len(arrays[name])}|".encode())
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return digest.hexdigest()
