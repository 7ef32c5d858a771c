"""Packed files: as small as promised, back bit for bit, and nothing else is believed."""

from __future__ import annotations

import copy
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from oracle_plan import Small, same_bits
from safetensors.torch import save_file
from test_plan import RECIPES
from torch import nn

from nnwidgets.engine.compression import CompressionPlan, bake, compress, load_packed, save_packed
from nnwidgets.engine.costs.packed import pack_bits, unpack_bits
from nnwidgets.engine.errors import FileError, ModelError
from nnwidgets.engine.trace import fingerprint
from nnwidgets.engine.values.recipe import Pruning, Quantization, Recipe


def blank(net: nn.Module) -> nn.Module:
    """A copy with all numbers overwritten."""
    twin = copy.deepcopy(net)
    with torch.no_grad():
        for tensor in (*twin.parameters(), *twin.buffers()):
            tensor.fill_(7)
    return twin


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 1000])
def test_bits_are_packed_and_unpacked(bits: int, count: int) -> None:
    """In as many bytes as needed."""
    codes = np.random.default_rng(0).integers(0, 2**bits, count).astype(np.uint8)
    packed = pack_bits(codes, bits)
    assert len(packed) == -(-count * bits // 8) and np.array_equal(unpack_bits(packed, bits, count), codes)


def test_long_streams_are_packed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bytes whatever the size of the parts."""
    codes = np.random.default_rng(0).integers(0, 8, 1001).astype(np.uint8)
    whole = pack_bits(codes, 3)
    monkeypatch.setattr("nnwidgets.engine.costs.packed._CHUNK", 64)
    assert np.array_equal(pack_bits(codes, 3), whole) and np.array_equal(unpack_bits(whole, 3, 1001), codes)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_files_have_the_promised_size_and_load_back_bit_for_bit(tmp_path: Path, dtype: torch.dtype) -> None:
    """For every recipe: size equals bytes_encoded to the byte, content equals bake(compress())."""
    net = Small().to(dtype)
    plan, target = CompressionPlan(net, net.shape), blank(net)
    path, encodings = tmp_path / "net.safetensors", set()
    for recipe in RECIPES:
        size = save_packed(net, recipe, path, overwrite=True)
        figures = plan.figures(recipe)
        assert size == path.stat().st_size == figures.bytes_encoded
        load_packed(path, target)
        expected = bake(compress(net, recipe))
        if dtype == torch.bfloat16:
            assert all(
                torch.equal(a, b) for a, b in zip(expected.state_dict().values(), target.state_dict().values(), strict=True)
            )
        else:
            assert same_bits(target, expected)
        encodings |= {row.encoding for row in figures.layers.values()}
    assert encodings == {"dense", "bitmask", "csr"}


def test_buffers_are_kept_and_a_compressed_copy_can_be_saved(tmp_path: Path) -> None:
    """Batch-norm statistics and its counter; the file of a trained copy holds its weights."""
    net = Small()
    twin = compress(net, Recipe(Pruning(0.7)))
    twin.train()
    twin(torch.rand(4, *net.shape))
    target = blank(net)
    save_packed(twin, Recipe(), tmp_path / "a")
    load_packed(tmp_path / "a", target)
    assert same_bits(target, bake(twin)) and int(target.norm1.num_batches_tracked) == 1


def test_a_file_is_not_overwritten_unless_told(tmp_path: Path) -> None:
    """FAULTS 27; and a folder or a missing folder is refused, with nothing left behind."""
    path = tmp_path / "a"
    path.write_text("mine")
    for bad in (path, tmp_path, tmp_path / "missing" / "a"):
        with pytest.raises(FileError):
            save_packed(Small(), Recipe(), bad)
    assert path.read_text() == "mine" and [p.name for p in tmp_path.iterdir()] == ["a"]
    save_packed(Small(), Recipe(), path, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAULTS 45: a full disk while writing."""
    path = tmp_path / "a"
    save_packed(Small(), Recipe(), path)
    before = path.read_bytes()

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nnwidgets.engine.costs.packed.save_file", full)
    with pytest.raises(FileError, match="No space left"):
        save_packed(Small(), Recipe(Pruning(0.5)), path, overwrite=True)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["a"]


def tiny(tmp_path: Path) -> tuple[nn.Module, bytes]:
    """A small network and its file, in which all streams have something."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 40))
    save_packed(net, Recipe(Pruning(0.5), Quantization(3, symmetric=False)), tmp_path / "tiny")
    return net, (tmp_path / "tiny").read_bytes()


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    """FAULTS 23: and the network is not touched."""
    net, data = tiny(tmp_path)
    before, path = fingerprint(net), tmp_path / "cut"
    for end in range(0, len(data), 3):
        path.write_bytes(data[:end])
        with pytest.raises(FileError):
            load_packed(path, net)
    assert fingerprint(net) == before


def test_a_thousand_flipped_bytes_are_refused_or_harmless(tmp_path: Path) -> None:
    """FAULTS 23: a clear error, or the very same numbers (blanks at the end of the header may be other blanks)."""
    net, data = tiny(tmp_path)
    load_packed(tmp_path / "tiny", net)
    expected, path, refused = fingerprint(net), tmp_path / "flip", 0
    rng = np.random.default_rng(0)
    for _ in range(1000):
        damaged = bytearray(data)
        damaged[rng.integers(len(data))] ^= int(rng.integers(1, 256))
        path.write_bytes(bytes(damaged))
        try:
            load_packed(path, net)
        except FileError:
            refused += 1
        assert fingerprint(net) == expected
    assert refused > 980


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    """Missing, a pickle, plain safetensors, a newer version, another network, a bomb."""
    net, data = tiny(tmp_path)
    with pytest.raises(FileError, match="not a file"):
        load_packed(tmp_path / "nothing", net)
    torch.save(net.state_dict(), tmp_path / "pickle")
    save_file(net.state_dict(), tmp_path / "plain")
    for name in ("pickle", "plain"):
        with pytest.raises(FileError):
            load_packed(tmp_path / name, net)
    with pytest.raises(FileError, match="another network"):
        load_packed(tmp_path / "tiny", nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 41)))
    (tmp_path / "bomb").write_bytes(data + bytes(1_000_000))
    with pytest.raises(FileError, match="at most"):
        load_packed(tmp_path / "bomb", net)
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"]["version"] = "2"
    text = json.dumps(header).encode()
    (tmp_path / "newer").write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
    with pytest.raises(FileError, match="newer"):
        load_packed(tmp_path / "newer", net)


def test_a_simulated_network_is_no_target(tmp_path: Path) -> None:
    """Its masks would stand between the file and the answers."""
    net, _ = tiny(tmp_path)
    with pytest.raises(ModelError, match="plain"):
        load_packed(tmp_path / "tiny", compress(net, Recipe(Pruning(0.5))))
