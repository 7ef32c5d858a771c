"""Linters, types and the front end's own tests: what a reviewer need not look for."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest


def run(repo: Path, *args: str) -> None:
    """Run a Python tool in the repository and fail with all that it said."""
    done = subprocess.run([sys.executable, "-m", *args], cwd=repo, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(args)}\n{done.stdout}{done.stderr}"


def test_ruff_finds_nothing(repo: Path) -> None:
    """Code, tests and notebooks pass the rules of pyproject.toml."""
    run(repo, "ruff", "check", ".")


def test_code_is_formatted(repo: Path) -> None:
    """``ruff format`` would change nothing."""
    run(repo, "ruff", "format", "--check", ".")


@pytest.mark.slow
def test_mypy_strict_finds_nothing(repo: Path) -> None:
    """Every function of the package is typed, and the types agree."""
    run(repo, "mypy")


@pytest.mark.slow
@pytest.mark.parametrize("script", ["check", "test"])
def test_front_end(npm: Callable[..., subprocess.CompletedProcess[str]], script: str) -> None:
    """``tsc`` accepts the TypeScript sources; the front end's unit tests pass."""
    done = npm("run", script)
    assert done.returncode == 0, done.stdout + done.stderr
