"""One kernel a version for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from versions import VERSIONS, check_version, overlay
from wire import Front, Kernel, start_kernel

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of this folder is slow: three kernels, each of them busy on purpose."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("slow")


@pytest.fixture(scope="session", params=VERSIONS)
def kernel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """The shared kernel of a version."""
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
