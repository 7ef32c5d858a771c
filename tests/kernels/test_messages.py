"""What a front end may send to a kernel: FAULTS.md rows 1-8 and 18, through the wire of a real kernel."""

from __future__ import annotations

import math

import pytest
from wire import Front, Kernel


def test_row_1_a_value_out_of_range_comes_back_corrected(kernel: Kernel, front: Front) -> None:
    front.handled(front.update(sparsity=7))
    assert front.state["sparsity"] == 0.99 and {"sparsity": 0.99} in [state for _, state in front.updates]
    front.wait_idle(sparsity=0.99)
    assert kernel.value("lab.sparsity") == 0.99


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 10**400, "0.5", None, [0.5], True])
def test_row_2_what_is_no_number_is_refused_and_corrected(kernel: Kernel, front: Front, bad: object) -> None:
    front.handled(front.update(sparsity=0.25))
    front.state["sparsity"] = bad  # the front end keeps what it sent until it is corrected
    front.handled(front.update(sparsity=bad))
    assert front.state["sparsity"] in ((0.25, 0.99) if bad == 10**400 else (0.25,))
    assert front.state["sparsity"] == kernel.value("lab.sparsity")
