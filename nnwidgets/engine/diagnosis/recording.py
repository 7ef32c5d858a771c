"""Results as text, so that what took minutes can be shown at once: labelled with when and where it was made."""

from __future__ import annotations

import json
import os
import platform
import time
from dataclasses import asdict
from typing import Any

from nnwidgets.engine.diagnosis._analysis import Analysis
from nnwidgets.engine.diagnosis.flowchart import Share
from nnwidgets.engine.diagnosis.records import Evidence
from nnwidgets.engine.diagnosis.trials import Trial
from nnwidgets.engine.errors import InputError
from nnwidgets.engine.trace import fingerprint

__all__ = ["recorded_text", "replay"]

_FORMAT = "nnwidgets.analysis.1"


def recorded_text(analysis: Analysis) -> str:
    """Errors, evidence and track of an analysis, for the experiment as it was given."""
    findings = analysis.given
    machine = f"{os.cpu_count()} cores, {platform.machine() or 'unknown processor'}"
    data = {
        "format": _FORMAT,
        "label": f"recorded on {time.strftime('%Y-%m-%d')}, {machine}",
        "network": fingerprint(findings.experiment.model),
        "errors": {name: asdict(share) for name, share in findings.errors.items()},
        "evidence": [asdict(evidence) for evidence in findings.evidence.values()],
        "trials": [trial.to_data() for trial in analysis.trials],
    }
    return json.dumps(data)


def replay(analysis: Analysis, text: str) -> str:
    """Take over what was recorded for the very same network; returns the label to show.

    Raises:
        InputError: no recording, or one of another network.
    """
    try:
        data: dict[str, Any] = json.loads(text)
        if data.get("format") != _FORMAT:
            raise ValueError(f"format {data.get('format')!r:.40}")
        errors = {str(name): Share(**share) for name, share in data["errors"].items()}
        evidence = [Evidence(**each) for each in data["evidence"]]
        trials = [Trial.from_data(each, str(data["label"])) for each in data["trials"]]
        label, network = str(data["label"]), data["network"]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"recorded: this is no recording of an error analysis: {type(error).__name__}: {error}.") from error
    findings = analysis.findings
    if network != fingerprint(findings.experiment.model):
        raise InputError("recorded: this was recorded for another network; record it again with analysis.record().")
    findings.errors.update(errors)
    findings.measured |= set(errors)
    findings.evidence.update({each.test: each for each in evidence})
    analysis.trials[:] = trials
    return label
