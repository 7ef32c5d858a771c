"""FAULTS.md rows 45 and 46: no room on the disk, no folder that can be written to, no network."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.experiment import WeightStore
from nnwidgets.engine.zoo.weights import save_bundled

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
posix = pytest.mark.skipif(os.name != "posix", reason="limits of a process are those of POSIX")

# What can be written is decided by the system, not by a patched function: a file of more than LIMIT bytes cannot.
LIMITED = """
import os, resource, sys
def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
"""
NO_NETWORK = """
import sys
GATES = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto")
def refuse(event, arguments):
    if event in GATES and "AF_UNIX" not in str(arguments[0]):
        raise OSError(101, f"no network: {event} {arguments!r}")
sys.addaudithook(refuse)
"""
LAB = """
import nnwidgets as nw
def click(name):
    content = {"kind": "command", "name": name, "args": {}}
    lab._handle_msg({"content": {"data": {"method": "custom", "content": content}}})
lab = nw.CompressionLab(nw.load_example("digits/lenet300"))
assert lab.wait(120) and lab.status == "idle", lab.error
lab.sparsity, lab.weight_bits = 0.5, 4
assert lab.wait(120) and lab.status == "idle", lab.error
print(lab.accuracy)
"""


def run(code: str, **environment: str) -> list[str]:
    env = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, cwd=ROOT, env=env)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout.splitlines()


@posix
def test_row_45_a_lab_runs_where_nothing_can_be_written_and_says_what_cannot_be_done() -> None:
    """No home, no cache, no temporary folder, not a byte in any file: only the file that was asked for is missing."""
    code = f"""
{LIMITED}
limit(0)
{LAB}
before = lab.accuracy
lab.measure_disk()
assert lab.wait(60) and lab.status == "error"
print(lab.error["message"])
click("dismiss")
lab.sparsity = 0.6
assert lab.wait(60) and lab.status == "idle", lab.error
lab.sparsity = 0.5
assert lab.wait(60) and lab.accuracy == before
limit(resource.RLIM_INFINITY)
lab.measure_disk()
assert lab.wait(60) and lab.status == "idle", lab.error
print(lab.experiment.live.cost.bytes_on_disk == lab.experiment.live.cost.bytes_encoded)
"""
    nowhere = "/dev/null/nowhere"
    told = run(code, HOME=nowhere, XDG_CACHE_HOME=nowhere, XDG_CONFIG_HOME=nowhere, MPLCONFIGDIR="", PYTHONDONTWRITEBYTECODE="1")
    assert float(told[0]) > 0.9
    assert "no file can be written" in told[1] and "temporary" in told[1] and "TMPDIR" in told[1]
    assert told[-1] == "True", "and once there is room, the file is written"


@posix
def test_row_45_the_figure_is_drawn_without_a_cache_or_the_reason_is_said() -> None:
    """matplotlib wants a folder for its list of fonts; without any it refuses, in the widget and not in the kernel."""
    code = f"""
{LIMITED}
limit(0)
{LAB}
sent = []
lab.send = lambda content, buffers=None: sent.append((content, len(buffers[0])))
click("figure")
assert lab.wait(120)
print(bool(sent), lab.status, lab.error and lab.error["message"])
limit(resource.RLIM_INFINITY)
"""
    nowhere = "/dev/null/nowhere"
    drawn = run(code, HOME=nowhere, XDG_CACHE_HOME=nowhere, XDG_CONFIG_HOME=nowhere, MPLCONFIGDIR=nowhere)[-1]
    assert drawn.startswith("True idle") or ("False error" in drawn and "atplotlib" in drawn), drawn


@posix
def test_row_45_what_does_not_fit_is_a_file_error_and_the_older_file_stays(tmp_path: Path) -> None:
    """Every limit up to the size of the file: nothing half-written remains, and nothing in memory is lost."""
    code = f"""
{LIMITED}
import torch
from pathlib import Path
from nnwidgets import engine as E
from nnwidgets.engine.experiment import WeightStore
from nnwidgets.engine.zoo.weights import save_bundled
folder, net, store = Path({str(tmp_path)!r}), torch.nn.Linear(60, 60), WeightStore()
key = store.put(net.state_dict())
whole = E.save_packed(net, E.Recipe(), folder / "old")
before = (folder / "old").read_bytes()
refused = 0
for size in range(0, whole, 900):
    limit(size)
    for write in (
        lambda: E.save_packed(net, E.Recipe(), folder / "old", overwrite=True),
        lambda: E.save_packed(net, E.Recipe(), folder / "new"),
        lambda: store.save(key, folder / "new"),
        lambda: save_bundled(net, folder / "old", {{"seed": 1}}),
    ):
        try:
            write()
        except E.FileError as error:
            refused += "room" in str(error)
    assert sorted(path.name for path in folder.iterdir()) == ["old"] and (folder / "old").read_bytes() == before
limit(resource.RLIM_INFINITY)
store.save(key, folder / "new")
assert WeightStore().load(folder / "new") == key
print(refused == 4 * len(range(0, whole, 900)))
"""
    assert run(code) == ["True"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 300 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(folder)], capture_output=True)
    except OSError as error:
        pytest.skip(f"a small file system cannot be mounted: {error}; the limits above are the same fault")
    if mounted.returncode:
        pytest.skip("a small file system may not be mounted here; the limits above are the same fault")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def writers(net: nn.Module) -> list[Callable[[Path], object]]:
    store = WeightStore()
    key = store.put(net.state_dict())
    return [
        lambda path: E.save_packed(net, E.Recipe(), path, overwrite=True),
        lambda path: store.save(key, path),
        lambda path: save_bundled(net, path, {}),
    ]


def test_row_45_a_full_disk_is_a_file_error_and_leaves_what_was_there(small_disk: Path) -> None:
    net = nn.Linear(400, 400)
    E.save_packed(net, E.Recipe(E.Pruning(0.95)), small_disk / "old")
    before = (small_disk / "old").read_bytes()
    for write in writers(net):
        with pytest.raises(E.FileError, match=r"No space left|exists"):
            write(small_disk / "old")
        with pytest.raises(E.FileError, match=r"No space left.*room"):
            write(small_disk / "new")
        assert [path.name for path in small_disk.iterdir()] == ["old"] and (small_disk / "old").read_bytes() == before


def test_row_45_a_read_only_folder_is_said(small_disk: Path) -> None:
    E.save_packed(nn.Linear(4, 4), E.Recipe(), small_disk / "old")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for write in writers(nn.Linear(4, 4)):
        with pytest.raises(E.FileError, match=r"Read-only.*writable"):
            write(small_disk / "new")
    target = nn.Linear(4, 4)
    E.load_packed(small_disk / "old", target)
    assert torch.isfinite(target.weight).all()


def test_row_46_a_first_run_without_a_network_shows_moves_and_draws_a_lab(tmp_path: Path) -> None:
    """A new home, every connection refused at the interpreter's own gate: a file is missing nowhere."""
    code = NO_NETWORK + LAB + "print(type(lab.figure()).__name__)\n"
    told = run(code, HOME=str(tmp_path), XDG_CACHE_HOME=str(tmp_path), TORCH_HOME=str(tmp_path), MPLCONFIGDIR=str(tmp_path))
    assert float(told[0]) > 0.9 and told[1] == "Figure"


def test_row_46_the_gate_is_shut(tmp_path: Path) -> None:
    """The test above could fail: a connection is refused, and a download is a message that says what to do."""
    code = NO_NETWORK + (
        "import socket\n"
        "try:\n    socket.create_connection(('192.0.2.1', 80), 1)\n"
        "except OSError as error:\n    print(error)\n"
        "from nnwidgets import engine as E\n"
        "try:\n    E.torchvision_net('squeezenet1_1')\n"
        "except E.FileError as error:\n    print(error)\n"
    )
    told = run(code, TORCH_HOME=str(tmp_path))
    assert "no network" in told[0] and "weights=path" in told[-1], told
