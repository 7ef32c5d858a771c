"""What CONTRIBUTING shows as code works."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

CONTRIBUTING = Path(__file__).resolve().parents[2] / "CONTRIBUTING.md"


@pytest.mark.slow
def test_an_evidence_test_of_ones_own_finds_what_it_is_made_for(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", CONTRIBUTING.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code.replace("nw.ErrorAnalysis(", "widget = nw.ErrorAnalysis("), str(CONTRIBUTING), "exec"), names)
    assert "differs in brightness by" in capsys.readouterr().out
    widget = names["widget"]
    widget.wait()
    widget.selected = "mismatch"
    assert [test["test"] for test in widget.detail["tests"]] == ["brightness"]
    widget.run_leaf("mismatch")
    widget.wait()
    assert widget.detail["tests"][0]["badge"] == "strong" and "brightness" in widget.detail["lead"]
    widget.close()
    names["exp"].close()
