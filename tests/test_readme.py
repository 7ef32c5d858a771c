"""What the README tells a reader to type works, and both shells are told the same."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

README = Path(__file__).resolve().parents[1] / "README.md"
WIDGET = "application/vnd.jupyter.widget-view+json"


def blocks(language: str) -> list[str]:
    """Return the fenced code blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def plain(command: str) -> str:
    """Return a shell line with what differs between bash and PowerShell made equal."""
    command = command.strip().replace("\\", "/").replace("python3 ", "python ")
    return command.replace(".venv/Scripts/python", ".venv/bin/python").replace(" && ", "; ")


def files_named() -> list[str]:
    """Return the files of the repository that the README names in links and commands."""
    text = README.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    return sorted({*links, *(name.replace("\\", "/") for name in re.findall(r"notebooks[/\\]\S+\.ipynb", text))})


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_a_python_block_runs_in_a_fresh_kernel(number: int, tmp_path: Path) -> None:
    """Each block stands alone, raises nothing, prints no warning, and its last line shows something."""
    code = blocks("python")[number]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = notebook.cells[0].outputs
    shown = [output for output in outputs if output.output_type != "stream" or output.name != "stdout"]
    assert [o.output_type for o in shown] in (["execute_result"], ["display_data"]), outputs
    assert (WIDGET in shown[0].data) == any(name in code for name in ("CompressionLab", "ErrorAnalysis", "LayerExplorer"))


def test_there_is_a_first_example_of_three_lines_and_one_with_an_own_network() -> None:
    """The blocks that the tests execute are the ones a reader needs."""
    first, inside, own, *_ = blocks("python")
    assert all(len(block.splitlines()) == 3 and "load_example" in block for block in (first, inside))
    assert "nn.Sequential" in own and "(Dataset)" in own and "nw.Experiment(" in own


def test_bash_and_powershell_say_the_same() -> None:
    """The same two commands with the same extras, modules and files, one line each."""
    bash, powershell = blocks("bash"), blocks("powershell")
    assert len(bash) == len(powershell) == 2
    assert all(len(block.splitlines()) == 1 for block in bash + powershell)
    assert [plain(b) for b in bash] == [plain(p) for p in powershell]
    assert "&&" not in "".join(powershell), "Windows PowerShell 5.1 does not know &&"


def test_the_two_commands_install_and_start_what_is_meant() -> None:
    """One opens the first notebook; the other runs all tests as .ci/run does."""
    start, test = blocks("bash")
    assert start.strip().endswith("-m jupyterlab notebooks/01_start.ipynb")
    assert test.strip().endswith(".venv/bin/python -m pytest")
    ci = (README.parent / ".ci" / "run").read_text(encoding="utf-8")
    assert '"$python" -m pytest <' in ci and "-e '.[lab,test]'" in ci and '-e ".[lab,test]"' in test


def test_extras_that_are_named_exist() -> None:
    """Every extra in a command is one of pyproject.toml."""
    project = (README.parent / "pyproject.toml").read_text(encoding="utf-8")
    known = re.findall(r"^(\w+) = \[", project.split("[project.optional-dependencies]")[1].split("\n\n")[0], re.MULTILINE)
    named = {
        extra for group in re.findall(r'"\.\[([a-z,]+)\]"', README.read_text(encoding="utf-8")) for extra in group.split(",")
    }
    assert named == {"lab", "test"} and named <= set(known)


@pytest.mark.parametrize("name", files_named())
def test_a_file_that_is_named_exists(name: str) -> None:
    """Links and commands lead to files of the repository."""
    assert (README.parent / name).is_file()


def test_files_named_are_found() -> None:
    """The list above is not empty by accident."""
    assert {"notebooks/01_start.ipynb", "notebooks/images/light.png", "CHANGELOG.md"} <= set(files_named())


def test_the_table_of_bundled_networks_says_what_their_files_say() -> None:
    """Parameters are counted, errors read from the metadata of the shipped weights."""
    from importlib import resources

    from nnwidgets.engine.zoo import example_parts
    from nnwidgets.engine.zoo.weights import read_record

    rows = re.findall(r"^\| `(\w+)/(\w+)`.*\| ([\d,]+) \| ([\d.]+) % \|$", README.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert [net for _, net, *_ in rows] == ["lenet300", "lenet5", "resnet20", "vgg_small"]
    for data, net, parameters, error in rows:
        model = example_parts(f"{data}/{net}").model
        assert f"{sum(value.numel() for value in model.parameters()):,}" == parameters
        with resources.as_file(resources.files("nnwidgets") / "assets" / f"{net}.safetensors") as path:
            assert f"{100 * read_record(path)['error']['test']:.1f}" == error
