"""What is shipped: the sdist, the wheel built from it with Node hidden, and that wheel used without network and Node."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path

import pytest
from lab import Notebook, find_browser, start_lab
from packaging.requirements import Requirement
from playwright.sync_api import sync_playwright

pytestmark = pytest.mark.slow

NODE = {"corepack", "node", "nodejs", "npm", "npx", "yarn", "yarnpkg"}


def path_without_node(folder: Path) -> str:
    """Return a PATH on which no Node is found: folders that hold one are replaced by links to everything else in them."""
    kept: list[str] = []
    for i, entry in enumerate(filter(os.path.isdir, os.environ["PATH"].split(os.pathsep))):
        if not any(shutil.which(name, path=entry) for name in NODE):
            kept.append(entry)
        elif os.name != "nt":  # on Windows nothing else is needed from such a folder
            links = folder / str(i)
            links.mkdir(parents=True)
            for program in Path(entry).iterdir():
                if program.name not in NODE:
                    (links / program.name).symlink_to(program)
            kept.append(str(links))
    path = os.pathsep.join(kept)
    assert not any(shutil.which(name, path=path) for name in NODE)
    return path


def run(command: list[str | Path], **options: object) -> str:
    """Run a command and return what it printed; fail with all that it said."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return str(done.stdout)


@dataclass(frozen=True)
class Shipped:
    """The two archives, and the Python of a fresh environment that has the wheel; ``env`` hides Node and the network."""

    sdist: Path
    wheel: Path
    python: Path
    env: dict[str, str]


@pytest.fixture(scope="module")
def shipped(repo: Path, tmp_path_factory: pytest.TempPathFactory) -> Shipped:
    """Build the sdist and from it the wheel (``python -m build``), then install the wheel alone with the network off."""
    folder = tmp_path_factory.mktemp("shipped")
    hidden = {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    hidden["PATH"] = path_without_node(folder / "bin")
    run([sys.executable, "-m", "build", "--outdir", folder / "dist", repo], env=hidden, cwd=folder)
    (sdist,), (wheel,) = (folder / "dist").glob("*.tar.gz"), (folder / "dist").glob("*.whl")

    dead = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
    offline = {**hidden, **dead}
    venv.create(folder / "venv", with_pip=True, symlinks=os.name != "nt")
    python = folder / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    run([python, "-m", "pip", "install", "--no-index", "--no-deps", wheel], env=offline, cwd=folder)
    # The dependencies are this environment's: its folder is added, but not its .pth files, so an editable nnwidgets is not seen.
    site = run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], env=offline).strip()
    others = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    Path(site, "dependencies.pth").write_text("\n".join(sorted(others)) + "\n", encoding="utf-8")
    return Shipped(sdist, wheel, python, offline)


def test_the_wheel_holds_the_bundle_and_no_sources_of_it(shipped: Shipped) -> None:
    """Python, assets and the built front end are in; TypeScript, tests and node_modules are not."""
    with zipfile.ZipFile(shipped.wheel) as archive:
        names = archive.namelist()
    bundles = {f"nnwidgets/static/{name}.{kind}" for name in ("compression_lab", "layer_explorer") for kind in ("js", "css")}
    assert bundles | {"nnwidgets/py.typed"} <= set(names)
    assert {"nnwidgets/assets/mnist10k.npz", "nnwidgets/assets/photos.npz", "nnwidgets/assets/PROVENANCE.md"} <= set(names)
    assert any(name.startswith("nnwidgets/assets/") and name.endswith(".safetensors") for name in names)
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"nnwidgets"}
    assert [
        name for name in names if "/frontend/" in name or "node_modules" in name or name.endswith((".ts", ".tsx", ".map"))
    ] == []


def test_the_sdist_holds_the_sources_and_nothing_built_or_fetched(shipped: Shipped) -> None:
    """Front end, tests, notebooks and licence are in; node_modules, the bundle and caches are not."""
    with tarfile.open(shipped.sdist) as archive:
        names = [name.split("/", 1)[1] for name in archive.getnames()]
    frontend = {"nnwidgets/frontend/package.json", "nnwidgets/frontend/package-lock.json", "nnwidgets/frontend/build.mjs"}
    assert frontend <= set(names) and any(name.startswith("nnwidgets/frontend/src/") for name in names)
    assert {"LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml", "tests/conftest.py", ".ci/run"} <= set(names)
    unwanted = ("node_modules", "nnwidgets/static/", "__pycache__", ".mypy_cache", ".pytest_cache", ".venv")
    assert [name for name in names if any(part in name for part in unwanted)] == []


def test_metadata_name_licence_and_requirements(shipped: Shipped) -> None:
    """Both licences are named and shipped; JupyterLab and the tests' tools are extras; torch is not capped."""
    with zipfile.ZipFile(shipped.wheel) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
        metadata = Parser().parsestr(archive.read(name).decode())
    assert metadata["License-Expression"] == "BSD-3-Clause AND CC-BY-SA-3.0 AND CC0-1.0"
    assert metadata.get_all("License-File") == ["LICENSE", "nnwidgets/assets/PROVENANCE.md"]
    needs = [Requirement(text) for text in metadata.get_all("Requires-Dist")]
    always = {need.name: str(need.specifier) for need in needs if need.marker is None}
    assert set(always) == {
        "anywidget",
        "ipywidgets",
        "matplotlib",
        "numpy",
        "pandas",
        "pillow",
        "safetensors",
        "torch",
        "torchvision",
    }
    assert (always["torch"], always["anywidget"]) == (">=2.10", ">=0.11")
    assert set(metadata.get_all("Provides-Extra")) == {"distributed", "export", "lab", "pretrained", "test"}


# Runs in the fresh environment: any connection to another machine and any start of a program is an error.
USE = """
import json, pathlib, sys

def refuse(event, args):
    if event in ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "os.system"):
        raise AssertionError(f"a program was started: {args}")
    if event == "socket.getaddrinfo" or (event == "socket.connect" and isinstance(args[1], tuple)):
        raise AssertionError(f"the network was used: {args}")

import torch, ipywidgets, anywidget
sys.addaudithook(refuse)
import nnwidgets as nw
exp = nw.load_example("digits")
lab = nw.CompressionLab(exp)
shown = lab._repr_mimebundle_()
shown = shown[0] if isinstance(shown, tuple) else shown
state = lab.get_state()
built = pathlib.Path(nw.__file__).parent / "static"
texts = [(built / f"compression_lab.{kind}").read_text("utf-8") for kind in ("js", "css")]
same = [state["_esm"], state["_css"]] == texts
print(json.dumps({"where": nw.__file__, "shown": sorted(shown), "size": len(state["_esm"]), "same": same}))
lab.close()
"""


def test_the_installed_wheel_shows_the_lab_without_node_and_network(shipped: Shipped, tmp_path: Path) -> None:
    """The lab is built on bundled data from the installed files; it carries its bundle as text and displays itself."""
    said = json.loads(run([shipped.python, "-I", "-c", USE], env=shipped.env, cwd=tmp_path).splitlines()[-1])
    assert Path(said["where"]).is_relative_to(shipped.python.parents[1])
    assert "application/vnd.jupyter.widget-view+json" in said["shown"]
    assert said["same"] and 1_000 < said["size"] < 100_000


@pytest.mark.browser
def test_the_installed_wheel_is_live_in_jupyterlab(shipped: Shipped, tmp_path: Path) -> None:
    """JupyterLab on the fresh environment shows the lab with its figures; the page asks no other machine for anything."""
    chromium = find_browser()
    if chromium is None:
        pytest.fail("no browser") if os.environ.get("CI") == "true" else pytest.skip("no chromium or chrome on the PATH")
    share, config = Path(sys.prefix, "share", "jupyter"), Path(sys.prefix, "etc", "jupyter")
    places = {"JUPYTER_PATH": share, "JUPYTERLAB_DIR": share / "lab", "JUPYTER_CONFIG_PATH": config}
    env = {**shipped.env, **{key: str(place) for key, place in places.items()}}
    with start_lab(tmp_path / "lab", str(shipped.python), env) as running, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        cells = ["import nnwidgets as nw", "lab = nw.CompressionLab(nw.load_example('digits'))\nlab"]
        book = Notebook.open(browser.new_page(), running, "wheel.ipynb", cells)
        book.run_all()
        widget = book.widget("compression-lab")
        widget.wait_idle()
        assert 0.9 < book.python("lab.accuracy") <= 1.0
        assert widget.raw("accuracy") is not None
        assert Path(book.python("nw.__file__")).is_relative_to(shipped.python.parents[1])
        assert (book.errors, book.left) == ([], [])
        browser.close()
