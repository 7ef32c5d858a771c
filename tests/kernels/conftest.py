"""One kernel a version for all tests of this folder: the newest ipykernel of each line that users have."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from wire import Front, Kernel, start_kernel

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


@pytest.fixture(scope="session", params=VERSIONS)
def kernel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """The shared kernel of a version. Tests that kill or block it start their own with ``fresh_kernel``."""
    folder = overlay(request.param)
    with start_kernel(tmp_path_factory.mktemp("kernel") / request.param, folder) as running:
        check_version(running, request.param, folder)
        yield running


@pytest.fixture
def front(kernel: Kernel) -> Iterator[Front]:
    """A lab on LeNet-300-100 in the shared kernel, at rest, as its front end sees it. In the kernel it is named ``lab``."""
    kernel.run("lab = nw.CompressionLab(nw.load_example('digits/lenet300')); assert lab.wait(60)")
    made = kernel.newest()
    kernel.run("print_of = E.fingerprint(lab.experiment.model)")
    yield made
    unchanged = kernel.value("print_of == E.fingerprint(lab.experiment.model)")
    kernel.run("lab.close(); lab.experiment.close(); del lab")
    assert unchanged, "the user's network was changed"
