"""The kernels that are tested: the installed ipykernel and the newest of each older line that users have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from wire import Kernel

__all__ = ["VERSIONS", "check_version", "overlay"]

VERSIONS = ("installed", "7.3", "6")


def overlay(version: str) -> Path | None:
    """The folder with an ipykernel of this version; None for the installed one. Skips without it, but not on a CI machine."""
    if version == "installed":
        return None
    named = os.environ.get("NNW_KERNELS", "")
    folder = Path(named) / version
    if named and (folder / "ipykernel").is_dir():
        return folder
    reason = (
        f"no ipykernel {version}: NNW_KERNELS={named!r} has no folder {version}/ipykernel. CONTRIBUTING.md tells how to make it."
    )
    return pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)


def check_version(kernel: Kernel, version: str, folder: Path | None) -> None:
    """The kernel really runs the ipykernel that was asked for."""
    found, file = kernel.value("[__import__('ipykernel').__version__, __import__('ipykernel').__file__]")
    if folder is not None:
        assert found.startswith(f"{version}."), f"expected ipykernel {version}, the kernel runs {found} of {file}"
        assert Path(file).is_relative_to(folder), f"{file} is not of {folder}"
