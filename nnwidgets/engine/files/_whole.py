"""Write a file whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError

from nnwidgets.engine.errors import FileError

__all__ = ["written_whole"]


@contextlib.contextmanager
def written_whole(path: str | os.PathLike[str], overwrite: bool = False) -> Iterator[str]:
    """Yield the name of an empty file beside ``path``, which takes its place when the block ends without an error.

    Whatever happens, nothing half-written remains, and an older file stays until the new one is complete and on the disk.

    Raises:
        FileError: there is a file already and ``overwrite`` is not set; no such folder; the block or the disk failed.
    """
    target = Path(path)
    spare = ""
    try:
        if os.path.lexists(target) and not overwrite:
            raise FileError(f"{target} exists already. Choose another name, remove it first, or say overwrite=True.")
        if target.is_dir() or not target.parent.is_dir():
            raise FileError(f"{target} cannot be written: expected a file name in a folder that exists.")
        spare = str(target.parent / f".nnw-{secrets.token_hex(8)}.part")
        handle = os.open(spare, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        mode = os.fstat(handle).st_mode & 0o777
        os.close(handle)
        yield spare
        with open(spare, "rb+") as stream:
            os.fsync(stream.fileno())  # a disk may say only now that it is full
        os.chmod(spare, mode)  # safetensors makes files that only their owner can read
        os.replace(spare, target)
    except FileError:
        raise
    except (OSError, SafetensorError) as error:
        raise FileError(f"{target} cannot be written: {error}. Is the folder writable, and is there room?") from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(spare)
