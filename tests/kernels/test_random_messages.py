"""FAULTS.md row 4: 100,000 random messages, none unhandled; of them thousands through the wire of each kernel."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_messages import messages
from wire import Front, Kernel

import nnwidgets as nw
from nnwidgets import engine as E  # noqa: N812

IN_PROCESS = 98_000
ON_THE_WIRE = 2_000


class Lab(nw.CompressionLab):
    """A lab that keeps what it says to its front end, as JSON would be."""

    said: list[bytes]


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = nw.CompressionLab(nw.load_example("digits/lenet300"))
    assert made.wait(60)
    yield made
    made.close()
    made.experiment.close()


@pytest.mark.slow
def test_row_4_98_000_random_messages_in_one_process(lab: Any, caplog: pytest.LogCaptureFixture) -> None:
    before = E.fingerprint(lab.experiment.model)
    t = time.monotonic()
    for n, message in enumerate(messages(0, IN_PROCESS)):
        lab._handle_msg(message)
        if n % 1000 == 0:
            print(n, time.monotonic() - t)
    print(len(caplog.records))
