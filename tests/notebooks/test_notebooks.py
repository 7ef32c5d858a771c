"""Every notebook runs top to bottom from a clean kernel, in less than 1 GB, and carries no outputs."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
# Of this program alone, where Linux tells (`resource` would tell of the one that started it too).
MEMORY = """
from pathlib import Path
status = Path("/proc/self/status")
print(int(status.read_text().split("VmHWM:")[1].split()[0]) // 1000 if status.exists() else 0)
"""


def test_there_is_a_first_notebook_that_shows_a_widget_in_three_lines() -> None:
    first = nbformat.read(FOLDER / "01_start.ipynb", as_version=4)
    code = next(cell.source for cell in first.cells if cell.cell_type == "code")
    assert len(code.splitlines()) == 3 and "CompressionLab" in code


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_a_clean_kernel(path: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    assert all(
        not cell.get("outputs") and cell.get("execution_count") is None for cell in notebook.cells if cell.cell_type == "code"
    )
    notebook.cells.append(nbformat.v4.new_code_cell(MEMORY))
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    used = int(notebook.cells.pop().outputs[0].text)
    print(f"{path.name}: {used} MB at most")
    assert used < 1000
    shown = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in shown if output.output_type == "error" or output.get("name") == "stderr"]
    assert any("application/vnd.jupyter.widget-view+json" in output.get("data", {}) for output in shown)
