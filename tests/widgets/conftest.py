"""What tests of widgets share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from small_data import dense, lab_on_vectors


@pytest.fixture
def lab() -> Iterator[Any]:
    """A lab on a trained network of three layers; files that need another one have their own."""
    made = lab_on_vectors(dense(12, 64, 64, 3), epochs=5)
    yield made
    made.close()
    made.experiment.close()
