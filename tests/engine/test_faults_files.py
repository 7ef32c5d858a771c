"""FAULTS.md rows 21-23: files that are damaged, or made to do harm. 0 code run; <= 200 MB and <= 2 s to refuse."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from nnwidgets.engine.compression import load_packed, save_packed
from nnwidgets.engine.costs import packed
from nnwidgets.engine.errors import FileError
from nnwidgets.engine.experiment import WeightStore
from nnwidgets.engine.files import read_pickled, read_tensors
from nnwidgets.engine.trace import fingerprint
from nnwidgets.engine.values.recipe import Pruning, Quantization, Recipe
from nnwidgets.engine.zoo import torchvision_net
from nnwidgets.engine.zoo.weights import read_record

pytestmark = pytest.mark.slow

LIMIT = 100_000_000
ROOT = Path(__file__).parents[2]


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 300))


def packed_bytes(folder: Path) -> bytes:
    """A packed file with all streams in it."""
    save_packed(net(), Recipe(Pruning(0.98), Quantization(3, symmetric=False)), folder / "whole", overwrite=True)
    return (folder / "whole").read_bytes()


def weights_bytes(folder: Path) -> bytes:
    """What an experiment saves of trained weights."""
    store = WeightStore()
    (folder / "whole").unlink(missing_ok=True)
    store.save(store.put(net().state_dict()), folder / "whole")
    return (folder / "whole").read_bytes()


def pickled_bytes(folder: Path, legacy: bool = False) -> bytes:
    torch.save(net().state_dict(), folder / "whole", _use_new_zipfile_serialization=not legacy)
    return (folder / "whole").read_bytes()


def into_net(path: Path) -> None:
    load_packed(path, net())


def into_store(path: Path) -> None:
    """Read as weights of this network; a refused file leaves nothing."""
    store = WeightStore()
    try:
        store.load(path, like=net().state_dict())
    except FileError:
        assert len(store) == 0
        raise


def as_pickle(path: Path) -> None:
    net().load_state_dict(read_pickled(path, LIMIT))


KINDS: dict[str, tuple[Callable[[Path], bytes], Callable[[Path], None]]] = {
    "packed": (packed_bytes, into_net),
    "trained weights": (weights_bytes, into_store),
    "pt": (pickled_bytes, as_pickle),
    "pt before torch 1.6": (lambda folder: pickled_bytes(folder, legacy=True), as_pickle),
}


@pytest.mark.parametrize("kind", KINDS)
def test_row_23_every_truncation_is_refused(tmp_path: Path, kind: str) -> None:
    write, read = KINDS[kind]
    data, path = write(tmp_path), tmp_path / "cut"
    for end in range(len(data)) if len(data) < 4000 else sorted({*range(0, len(data), 53), *range(64), len(data) - 1}):
        path.write_bytes(data[:end])
        with pytest.raises(FileError) as found:
            read(path)
        assert str(path) in str(found.value) and len(str(found.value)) < 600


@pytest.mark.parametrize("kind", ["packed", "trained weights"])
def test_row_23_a_thousand_flipped_bytes_are_refused_or_blanks(tmp_path: Path, kind: str) -> None:
    """Both carry a check of their numbers; blanks at the end of a header may be other blanks."""
    write, read = KINDS[kind]
    data, path, draw, refused = write(tmp_path), tmp_path / "flip", np.random.default_rng(0), 0
    for _ in range(1000):
        damaged = bytearray(data)
        damaged[draw.integers(len(data))] ^= int(draw.integers(1, 256))
        path.write_bytes(bytes(damaged))
        try:
            read(path)
        except FileError:
            refused += 1
    assert refused > 980


@pytest.mark.parametrize("kind", ["pt", "pt before torch 1.6", "safetensors"])
def test_row_23_flipped_bytes_of_files_without_a_check_give_an_error_or_a_readable_file(tmp_path: Path, kind: str) -> None:
    """Numbers may be other numbers there; what was read has the shapes of the network, or is refused by it."""
    if kind == "safetensors":
        save_file(net().state_dict(), tmp_path / "whole")
        data = (tmp_path / "whole").read_bytes()
    else:
        data = KINDS[kind][0](tmp_path)
    path, draw, target, refused = tmp_path / "flip", np.random.default_rng(1), net(), 0
    for turn in range(1000):
        damaged = bytearray(data)
        place = draw.integers(len(data) if turn % 2 else min(len(data), 1200))  # half of them where names and shapes are
        damaged[place] ^= int(draw.integers(1, 256))
        path.write_bytes(bytes(damaged))
        try:
            found = read_tensors(path, LIMIT)[0] if kind == "safetensors" else read_pickled(path, LIMIT)
        except FileError as error:
            refused += 1
            assert len(str(error)) < 700
        else:
            assert all(isinstance(value, Tensor) for value in found.values())
            if {name: value.shape for name, value in found.items()} == {n: v.shape for n, v in target.state_dict().items()}:
                target.load_state_dict(found)
    assert refused > 100


# --- made to do harm ------------------------------------------------------------------------------------------------------


class Canary:
    """A pickle that would write a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.path),))


def canary(folder: Path, legacy: bool = False) -> Path:
    bad = {"features.0.weight": torch.zeros(2), "x": Canary(folder / "canary")}
    torch.save(bad, folder / "canary.pt", _use_new_zipfile_serialization=not legacy)
    return folder / "canary.pt"


def plain_pickle(folder: Path) -> Path:
    (folder / "plain.pt").write_bytes(pickle.dumps(Canary(folder / "canary"), protocol=2))
    return folder / "plain.pt"


def stride_0(folder: Path) -> Path:
    torch.save({"features.0.weight": torch.zeros(1).expand(10**10)}, folder / "stride.pt")
    assert (folder / "stride.pt").stat().st_size < 1700
    return folder / "stride.pt"


class Bytes:
    """A pickle of 60 bytes that takes 100 GB: torch allows bytearray."""

    def __reduce__(self) -> Any:
        return (bytearray, (10**11,))


def allowed_call(folder: Path) -> Path:
    torch.save({"x": Bytes()}, folder / "bytes.pt")
    return folder / "bytes.pt"


def rewritten(folder: Path, change: Callable[[str, bytes], bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    """A .pt with parts of it changed."""
    torch.save(OrderedDict(a=torch.zeros(5_000_000)), folder / "good.pt")
    with zipfile.ZipFile(folder / "good.pt") as old, zipfile.ZipFile(folder / "made.pt", "w", compression) as new:
        for entry in old.infolist():
            new.writestr(entry.filename, change(entry.filename, old.read(entry)))
    return folder / "made.pt"


def deflated(folder: Path) -> Path:
    path = rewritten(folder, lambda name, data: data, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 30_000
    return path


def claims_more_than_its_record(folder: Path) -> Path:
    """The pickle says 5,000,000 numbers; the record holds one."""
    return rewritten(folder, lambda name, data: data[:4] if "/data/0" in name else data)


def legacy_claims_more(folder: Path) -> Path:
    torch.save(OrderedDict(a=torch.zeros(2**20)), folder / "old.pt", _use_new_zipfile_serialization=False)
    data = (folder / "old.pt").read_bytes()
    more = data.replace(struct.pack("<i", 2**20), struct.pack("<i", 2**30))
    assert more != data
    (folder / "old.pt").write_bytes(more[:3000])
    return folder / "old.pt"


def not_tensors(folder: Path) -> Path:
    torch.save({"epoch": 3, "state_dict": {}}, folder / "checkpoint.pt")
    return folder / "checkpoint.pt"


def header(folder: Path, text: bytes, length: int | None = None) -> Path:
    (folder / "made.safetensors").write_bytes(struct.pack("<Q", len(text) if length is None else length) + text)
    return folder / "made.safetensors"


def header_too_long(folder: Path) -> Path:
    return header(folder, b"{}", 2**60)


def header_of_many_names(folder: Path) -> Path:
    names = (f'"{i}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}' for i in range(300_000))
    return header(folder, b"{" + ",".join(names).encode() + b"}")


def header_nested(folder: Path) -> Path:
    return header(folder, b'{"a":' + b"[" * 1_000_000)


def header_of_a_huge_tensor(folder: Path) -> Path:
    return header(folder, b'{"features.0.weight":{"dtype":"F32","shape":[100000,100000],"data_offsets":[0,40000000000]}}')


def header_that_overflows(folder: Path) -> Path:
    return header(folder, b'{"a":{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,0]}}')


BOMBS = [
    canary, plain_pickle, stride_0, allowed_call, deflated, claims_more_than_its_record, legacy_claims_more, not_tensors,
    header_too_long, header_of_many_names, header_nested, header_of_a_huge_tensor, header_that_overflows,
]  # fmt: skip

REFUSE = """
import json, sys, time
from nnwidgets.engine.errors import FileError
from nnwidgets.engine.zoo import torchvision_net
torchvision_net("squeezenet1_1", weights=None)
def highest():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
for path in sys.argv[1:]:
    with open("/proc/self/clear_refs", "w") as peak:
        peak.write("5")
    began, before = time.perf_counter(), highest()
    try:
        torchvision_net("squeezenet1_1", weights=path)
        said = "read"
    except FileError as error:
        said = str(error)
    print(json.dumps([path, time.perf_counter() - began, (highest() - before) / 1000, said]), flush=True)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads the peak memory of a process from /proc")
def test_rows_21_to_23_a_made_file_is_refused_soon_at_little_cost_and_runs_nothing(tmp_path: Path) -> None:
    made = []
    for bomb in BOMBS:
        folder = tmp_path / f"of {bomb.__name__}"
        folder.mkdir()
        made.append(str(bomb(folder)))
    ran = subprocess.run([sys.executable, "-c", REFUSE, *made], capture_output=True, text=True, timeout=300, cwd=ROOT)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    told = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [path for path, *_ in told] == made
    for path, seconds, megabytes, message in told:
        assert seconds <= 2 and megabytes <= 200, (path, seconds, megabytes)
        assert path in message and "expected" in message.lower(), (path, message)
    assert not [*tmp_path.rglob("canary")], "code in a file was run"


def test_row_21_old_files_with_code_in_them_are_refused_too(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"mkdir.*no state dict needs"):
        read_pickled(canary(tmp_path, legacy=True), LIMIT)
    assert not (tmp_path / "canary").exists()


def test_row_22_a_tensor_of_stride_0_with_the_right_shape_is_refused_before_it_is_copied(tmp_path: Path) -> None:
    """It would fit: only the missing numbers give it away."""
    state = net().state_dict()
    state["0.weight"] = torch.zeros(1).expand(4, 1, 3, 3)
    torch.save(state, tmp_path / "net.pt")
    with pytest.raises(FileError, match=r"'0.weight' claims 36 numbers and holds 1"):
        read_pickled(tmp_path / "net.pt", LIMIT)


@pytest.mark.parametrize("legacy", [False, True])
def test_state_dicts_as_people_write_them_are_read(tmp_path: Path, legacy: bool) -> None:
    """Shared storages, views, parameters, half precision, integers; other threads of history than ours wrote them."""
    base = torch.arange(100.0)
    state = OrderedDict(
        a=base[10:20], b=base[:50].view(5, 10).t(), c=nn.Parameter(torch.ones(3)), d=torch.ones(3, dtype=torch.bfloat16),
        e=torch.tensor(7), f=torch.zeros(0), g=torch.ones(2, dtype=torch.bool),
    )  # fmt: skip
    torch.save(state, tmp_path / "net.pt", _use_new_zipfile_serialization=not legacy)
    found = read_pickled(tmp_path / "net.pt", LIMIT)
    assert list(found) == list(state) and all(torch.equal(found[name], state[name]) for name in state)


def test_row_23_weights_of_another_network_are_refused_by_name(tmp_path: Path) -> None:
    store = WeightStore()
    store.save(store.put(nn.Linear(3, 4).state_dict()), tmp_path / "other")
    with pytest.raises(FileError, match=r"another network: '0.bias' is missing, expected \(4,\)"):
        store.load(tmp_path / "other", like=net().state_dict())
    assert len(store) == 1
    with pytest.raises(FileError, match="at most"):
        (tmp_path / "large").write_bytes(bytes(3_000_000))
        store.load(tmp_path / "large", like=net().state_dict())


def test_row_23_a_packed_file_whose_check_was_made_to_fit_is_still_not_believed(tmp_path: Path) -> None:
    """The check is against accidents; whoever wrote the file can compute it. Row offsets that ask for 32 GB of positions."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 1000))
    save_packed(network, Recipe(Pruning(0.995)), tmp_path / "net")
    text, streams = packed.read_container(tmp_path / "net", LIMIT, 10_000)
    assert streams["table"][0] == 2, "compressed sparse rows"
    for place, value in ((-1, 65_535), (-2, 65_535), (0, 0xFFFF)):
        index = streams["index"].copy().view("<u2")
        index[place] = value
        made = {**streams, "index": index.view(np.uint8)}
        packed.write_container(tmp_path / "made", json.loads(text), made, overwrite=True)
        before = fingerprint(network)
        with pytest.raises(FileError, match="damaged"):
            load_packed(tmp_path / "made", network)
        assert fingerprint(network) == before


@pytest.mark.parametrize("value", [-1, 0, 3, 9, 32, 2**31 - 1, -(2**31)])
def test_row_23_impossible_rows_of_a_packed_table_are_refused(tmp_path: Path, value: int) -> None:
    packed_bytes(tmp_path)
    text, streams = packed.read_container(tmp_path / "whole", LIMIT, 10_000)
    for place in range(len(streams["table"])):
        table = streams["table"].copy()
        if table[place] == value:
            continue
        table[place] = value
        packed.write_container(tmp_path / "made", json.loads(text), {**streams, "table": table}, overwrite=True)
        with pytest.raises(FileError, match="damaged"):
            load_packed(tmp_path / "made", net())


def test_row_23_text_beside_the_streams_is_compared_and_never_parsed(tmp_path: Path) -> None:
    """A content of a million brackets would end in a recursion, one of a million lists in a gigabyte."""
    packed_bytes(tmp_path)
    _, streams = packed.read_container(tmp_path / "whole", LIMIT, 10_000)
    real = packed.content_text
    for content in ("[" * 2000, "[" + "[]," * 500 + "0]", "\udcff"):
        try:
            packed.content_text = lambda _content, text=content: text  # type: ignore[misc,assignment]
            packed.write_container(tmp_path / "made", [], streams, overwrite=True)
        except UnicodeEncodeError:
            continue
        finally:
            packed.content_text = real  # type: ignore[misc]
        with pytest.raises(FileError):
            load_packed(tmp_path / "made", net())
    length = 10_000_000
    (tmp_path / "made").write_bytes(struct.pack("<Q", length) + b'{"a":' + b"[" * length)
    with pytest.raises(FileError, match="at most"):
        load_packed(tmp_path / "made", net())


def test_row_23_a_damaged_record_of_bundled_weights_is_a_file_error(tmp_path: Path) -> None:
    for metadata in (None, {"record": "{"}, {"record": "[" * 100_000}):
        save_file({"a": torch.zeros(1)}, tmp_path / "made.safetensors", metadata=metadata)
        with pytest.raises(FileError):
            read_record(tmp_path / "made.safetensors")


def test_row_23_a_file_that_may_not_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.safetensors"
    save_file(net().state_dict(), path)

    def refused(*_: object, **__: object) -> io.BytesIO:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refused)
    for read in (lambda: read_tensors(path, LIMIT), lambda: read_pickled(path, LIMIT)):
        with pytest.raises(FileError, match="Permission denied"):
            read()


def test_rows_21_and_22_by_the_name_of_a_net(tmp_path: Path) -> None:
    """The way a user takes."""
    for bomb in (canary, stride_0):
        with pytest.raises(FileError, match="safely"):
            torchvision_net("squeezenet1_1", weights=bomb(tmp_path))
