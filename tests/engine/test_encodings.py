"""Encodings of weights: back bit for bit, as small as said, and nothing impossible is believed."""

from __future__ import annotations

import dataclasses
import heapq
import itertools
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle_plan import Small, lloyd
from torch import nn

from nnwidgets.engine.compression import CompressionPlan, bake, compress, cost, encodings
from nnwidgets.engine.compression._encodings import share_values, weight_codes
from nnwidgets.engine.costs import huffman
from nnwidgets.engine.costs.encodings import (
    EncodedWeight,
    WeightCodes,
    best_gap_bits,
    decode_deep,
    decode_huffman,
    decode_relative,
    deep_bytes,
    encode_deep,
    encode_huffman,
    encode_relative,
    huffman_bytes,
    relative_bytes,
)
from nnwidgets.engine.costs.huffman import HuffmanStream
from nnwidgets.engine.costs.relative_index import gaps_of, positions_of
from nnwidgets.engine.costs.shared_values import codebook_of, codes_of
from nnwidgets.engine.errors import FileError, InputError, RecipeError
from nnwidgets.engine.quantization import quantize
from nnwidgets.engine.values.recipe import Pruning, Quantization, Recipe

# Slow twins


def gaps_one_by_one(positions: list[int], bits: int) -> tuple[list[int], list[bool]]:
    """Walk along the weights, with a filler wherever 2**bits - 1 zeros were passed and the next one is a zero too."""
    gaps, fillers, here = [], [], -1
    for position in positions:
        while position - here - 1 >= 2**bits:
            gaps.append(2**bits - 1)
            fillers.append(True)
            here += 2**bits
        gaps.append(position - here - 1)
        fillers.append(False)
        here = position
    return gaps, fillers


def mean_length(symbols: list[int]) -> float:
    """Bits a symbol of an optimal prefix code: the sum of all merged counts, by the textbook."""
    heap = list(Counter(symbols).values())
    heapq.heapify(heap)
    total = 0
    while len(heap) > 1:
        merged = heapq.heappop(heap) + heapq.heappop(heap)
        total += merged
        heapq.heappush(heap, merged)
    return total / len(symbols)


def entropy(symbols: list[int]) -> float:
    """Bits a symbol."""
    return -sum(n / len(symbols) * math.log2(n / len(symbols)) for n in Counter(symbols).values())


def read_bit_by_bit(stream: HuffmanStream, count: int, alphabet: int) -> list[int]:
    """Rebuild the canonical codes as texts of 0 and 1, and match them at the front of the text of all bits."""
    flags = [int(bit) for byte in stream.table[: -(-alphabet // 8)] for bit in f"{byte:08b}"][:alphabet]
    used = [symbol for symbol, flag in enumerate(flags) if flag]
    lengths = dict(zip(used, stream.table[-(-alphabet // 8) :], strict=True))
    codes, code, before = {}, 0, 0
    for symbol in sorted(used, key=lambda s: (lengths[s], s)):
        code <<= lengths[symbol] - before
        before = lengths[symbol]
        codes[f"{code:0{before}b}" if before else ""] = symbol
        code += 1
    text, found = "".join(f"{byte:08b}" for byte in stream.codes), []
    while len(found) < count:
        found.append(next(s for c, s in codes.items() if text.startswith(c)))
        text = text[lengths[found[-1]] :]
    return found


def codes_of_bytes(data: bytes, width: int, bits: int) -> WeightCodes:
    """A weight made of bytes."""
    return WeightCodes(np.frombuffer(data[: len(data) // width * width], np.uint8).reshape(-1, width), bits)


@st.composite
def weights(draw: st.DrawFn, most_bits: int = 32) -> WeightCodes:
    """Sparse or dense, codes of 1 to 8 bits, or numbers of 2 or 4 bytes."""
    bits = draw(st.sampled_from([b for b in (*range(1, 9), 16, 32) if b <= most_bits]))
    width, zeros = -(-bits // 8), draw(st.sampled_from([0, 1, 4, 30]))
    top = (1 << min(bits, 8)) - 1
    number = st.lists(st.integers(0, top), min_size=width, max_size=width)
    rows = draw(st.lists(st.tuples(number, st.integers(0, zeros)), max_size=60))
    flat = [row for value, gap in rows for row in (*[[0] * width] * gap, value)] + [[0] * width] * draw(st.integers(0, 9))
    return WeightCodes(np.array(flat, np.uint8).reshape(-1, width), bits)


def same(a: WeightCodes, b: WeightCodes) -> bool:
    """Equal to the bit."""
    return a.bits == b.bits and np.array_equal(a.codes, b.codes)


# Relative index


@given(st.sets(st.integers(0, 2000)), st.integers(1, 8))
def test_gaps_are_those_of_the_walk(places: set[int], bits: int) -> None:
    """And they lead back to the positions."""
    positions = np.array(sorted(places), np.int64)
    gaps, fillers = gaps_of(positions, bits)
    assert (gaps.tolist(), fillers.tolist()) == gaps_one_by_one(sorted(places), bits)
    assert positions_of(gaps, 2001)[~fillers].tolist() == sorted(places)


def test_the_example_of_the_paper() -> None:
    """Han et al. 2016, figure 2: weights at places 1, 4 and 15, three bits: steps 1, 3, 8 (a filler), 3."""
    gaps, fillers = gaps_of(np.array([1, 4, 15]) - 1, 3)
    assert (gaps + 1).tolist() == [1, 3, 8, 3] and fillers.tolist() == [False, False, True, False]


@given(weights(), st.integers(1, 8))
def test_relative_index_round_trip(weight: WeightCodes, bits: int) -> None:
    """Bit for bit, in as many bytes as said."""
    encoded = encode_relative(weight, bits)
    assert same(decode_relative(encoded), weight) and encoded.total == relative_bytes(weight, bits)


def test_the_best_gap_is_the_smallest() -> None:
    """Compared with real streams."""
    weight = WeightCodes((np.random.default_rng(0).random((5000, 1)) < 0.07).astype(np.uint8), 5)
    sizes = {bits: encode_relative(weight, bits).total for bits in range(1, 9)}
    assert sizes[best_gap_bits(weight)] == min(sizes.values())


# Huffman


@given(st.lists(st.integers(0, 31), min_size=1, max_size=200))
def test_huffman_round_trip_and_length(symbols: list[int]) -> None:
    """As short as the textbook's code, between H and H + 1 bits a symbol, read by the slow reader too."""
    data = np.array(symbols, np.uint8)
    stream, counts = huffman.encode(data, 32), np.bincount(data, minlength=32)
    assert huffman.decode(stream, len(symbols), 32).tolist() == symbols == read_bit_by_bit(stream, len(symbols), 32)
    mean = float((huffman.code_lengths(counts) * counts).sum()) / len(symbols)
    assert mean == pytest.approx(mean_length(symbols))
    assert entropy(symbols) - 1e-9 <= mean < entropy(symbols) + 1
    assert (
        stream.total
        == huffman.encoded_bytes(counts)
        == 4 + len(set(symbols)) + math.ceil(mean_length(symbols) * len(symbols) / 8)
    )


def test_long_codes_and_long_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fibonacci counts give the longest codes; parts of any size give the same."""
    fibonacci = [1, 1]
    while len(fibonacci) < 20:
        fibonacci.append(fibonacci[-1] + fibonacci[-2])
    data = np.repeat(np.arange(20, dtype=np.uint8), fibonacci)
    np.random.default_rng(0).shuffle(data)
    stream = huffman.encode(data, 20)
    assert huffman.code_lengths(np.bincount(data)).max() == 19
    monkeypatch.setattr(huffman, "_CHUNK", 1000)
    assert huffman.encode(data, 20) == stream and np.array_equal(huffman.decode(stream, len(data), 20), data)


@given(weights())
def test_huffman_of_weights_round_trip(weight: WeightCodes) -> None:
    """Byte by byte of a number."""
    encoded = encode_huffman(weight)
    assert same(decode_huffman(encoded), weight) and encoded.total == huffman_bytes(weight)


@given(weights(8), st.integers(1, 8))
def test_deep_round_trip(weight: WeightCodes, bits: int) -> None:
    """Relative index and Huffman together."""
    encoded = encode_deep(weight, bits)
    assert same(decode_deep(encoded), weight) and encoded.total == deep_bytes(weight, bits)


# Damage


def test_damaged_codes_are_refused() -> None:
    """Cut off, too long, impossible lengths, wrong symbols; each with its reason."""
    good = huffman.encode(np.array([0, 0, 0, 0, 1, 1, 2, 9] * 9, np.uint8), 12)
    table, codes = good.table, good.codes
    cases: list[tuple[bytes, bytes, str]] = [
        (table, codes[:-1], "too early"),
        (table, codes + b"\0", "where they should"),
        (table[:2], codes, "cut off"),
        (b"", codes, "cut off"),
        (table + b"\1", codes, "another number"),
        (table[:-1], codes, "another number"),
        (table[:-1] + b"\x02", codes, "impossible"),
        (table[:-1] + b"\xff", codes, "impossible"),
        (table[:-1] + b"\0", codes, "impossible"),
        (b"\xff\xff" + bytes([4] * 16), codes, "symbols that there are not"),
        (b"\x80\0\1", b"", "impossible"),
        (b"\x80\0\0", b"\1", "left over"),
    ]
    for bad_table, bad_codes, words in cases:
        with pytest.raises(FileError, match=words):
            huffman.decode(HuffmanStream(bad_table, bad_codes), 72, 12)
    with pytest.raises(FileError, match="left over"):
        huffman.decode(good, 0, 12)
    with pytest.raises(FileError, match="too early"):
        huffman.decode(good, 10**9, 12)


def test_damaged_indices_are_refused() -> None:
    """Streams of another length, and positions outside of the weight."""
    weight = WeightCodes(np.array([[0], [3], [0], [0], [1]], np.uint8), 2)
    encoded = encode_relative(weight, 2)
    with pytest.raises(FileError, match="place"):
        decode_relative(dataclasses.replace(encoded, count=4))
    with pytest.raises(FileError, match="expected"):
        decode_relative(dataclasses.replace(encoded, entries=9))
    with pytest.raises(FileError, match="gap_bits"):
        decode_relative(dataclasses.replace(encoded, gap_bits=None))
    with pytest.raises(FileError, match="place"):
        decode_deep(dataclasses.replace(encode_deep(weight, 2), count=4))


@settings(max_examples=150)
@given(weights(8), st.data())
def test_any_changed_byte_gives_an_error_or_a_weight(weight: WeightCodes, data: st.DataObject) -> None:
    """Never another exception, never another shape."""
    encoded = encode_deep(weight, 3)
    name = data.draw(st.sampled_from(sorted(encoded.streams)))
    stream = bytearray(encoded.streams[name])
    if stream:
        stream[data.draw(st.integers(0, len(stream) - 1))] ^= data.draw(st.integers(1, 255))
    broken = EncodedWeight({**encoded.streams, name: bytes(stream)}, encoded.count, encoded.bits, encoded.entries, 3)
    try:
        assert decode_deep(broken).codes.shape == weight.codes.shape
    except FileError as error:
        assert "again" in str(error)


def test_malformed_codes_are_refused() -> None:
    """Another type, another width."""
    for codes, bits in ((np.zeros(3, np.uint8), 8), (np.zeros((3, 1), np.int64), 8), (np.zeros((3, 1), np.uint8), 9)):
        with pytest.raises(InputError, match="expected uint8"):
            WeightCodes(codes, bits)  # type: ignore[arg-type]


# Codebook


@pytest.mark.parametrize("size", [1, 3, 7, 31])
def test_codebook_is_that_of_the_slow_algorithm(size: int) -> None:
    """On numbers with clusters of their own."""
    rng = np.random.default_rng(size)
    values = (rng.normal(size=400) + 3 * rng.integers(-2, 3, 400)).astype(np.float32)
    found = codebook_of(values, size)
    assert np.allclose(found, lloyd(values, size), atol=1e-5)
    assert np.array_equal(codes_of(values, found), np.abs(values[:, None].astype(np.float64) - found).argmin(1))


@given(st.lists(st.floats(-4, 4, width=32), max_size=40), st.integers(1, 40))
def test_few_values_are_kept_and_more_rounds_are_never_worse(numbers: list[float], size: int) -> None:
    """Exact where the codebook has a place for each; else the error falls with the rounds."""
    values = np.array(numbers, np.float32)
    books = [codebook_of(values, size, rounds) for rounds in (0, 1, 5, 100)]
    errors = [float(np.square(book[codes_of(values, book)].astype(np.float64) - values).sum()) for book in books]
    assert all(len(book) == size and (np.diff(book) >= 0).all() for book in books)
    assert all(b <= a * (1 + 1e-6) + 1e-9 for a, b in itertools.pairwise(errors))
    if len(set(numbers)) <= size:
        assert errors[0] == 0


def test_shared_weights_are_the_codebook_at_the_codes() -> None:
    """Zeros stay zero; the error is the one told."""
    weight = compressed_linear(0.8)
    shared = share_values(weight, 4)
    back = shared.codebook[shared.codes.codes[:, 0]].reshape(weight.shape)
    assert shared.codebook[0] == 0 and np.array_equal(back == 0, weight.numpy() == 0)
    assert shared.square_error == pytest.approx(float(((torch.from_numpy(back) - weight).double() ** 2).sum()), rel=1e-9)


def compressed_linear(amount: float, rows: int = 60, columns: int = 50) -> torch.Tensor:
    """A pruned weight."""
    torch.manual_seed(0)
    net = bake(compress(nn.Sequential(nn.Linear(columns, rows)), Recipe(Pruning(amount)), input_shape=(columns,)))
    weight: Any = net[0].weight.detach()  # type: ignore[index]
    return weight  # type: ignore[no-any-return]


@pytest.mark.parametrize("granularity", ["tensor", "channel"])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", [1, 2, 5, 8])
def test_codes_of_a_quantized_weight_have_a_zero_and_lead_back(bits: int, symmetric: bool, granularity: str) -> None:
    """Zero weights are code 0; with scale and zero point the codes give the weight bit for bit."""
    weight = compressed_linear(0.6)
    grid = quantize(weight, bits, granularity, symmetric, 0, weight != 0)
    codes = weight_codes(grid.dequantized, grid)
    assert codes.positions.tolist() == grid.dequantized.flatten().nonzero().flatten().tolist()
    low = -(2 ** (codes.bits - 1)) if symmetric else 0
    zero = grid.zero_point.reshape(-1, 1).numpy()
    numbers = codes.codes.reshape(weight.shape).astype(np.int64) + (0 if symmetric else zero)
    values = (numbers - low) % 2**codes.bits + low - zero
    if symmetric and codes.bits == 1:
        values = np.ones_like(values)
    back = torch.from_numpy(values.astype(np.float32)) * grid.scale.reshape(-1, 1)
    assert torch.equal(back, grid.dequantized)


# The table


def test_figures_of_a_300_by_784_layer_at_90_percent_zeros() -> None:
    """fp32: dense 940,800; CSR with 32-bit indices 189,364; bitmask 123,480."""
    torch.manual_seed(0)
    table = encodings(nn.Sequential(nn.Linear(784, 300)), Recipe(Pruning(0.9)), index_bytes=4).set_index("layer")
    row = table.loc["0"]
    assert (row["dense"], row["csr"], row["bitmask"]) == (940_800, 189_364, 123_480)
    assert row["relative_index"] < row["bitmask"] and row["deep_compression"] < row["codebook"] < row["relative_index"]
    assert table.attrs["lossy"] == ("codebook", "deep_compression") and "huffman" in table.attrs["lossless"]


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(),
        Recipe(Pruning(0.8)),
        Recipe(Pruning(0.7), Quantization(1)),
        Recipe(Pruning(0.5), Quantization(4, symmetric=False)),
        Recipe(Pruning(0.5), Quantization(4, observer="mse", power_of_two=True)),
        Recipe(Pruning(0.5), Quantization(4, method="codebook")),
        Recipe(None, Quantization(2, method="codebook")),
        Recipe(None, Quantization(1)),
        Recipe(Pruning(0.5), Quantization(3, observer="learned", scales={"up": [0.11, 0.07]})),
    ],
    ids=["dense", "pruned", "one bit", "affine", "shifted", "codebook", "codebook without zeros", "binary", "learned"],
)
def test_every_size_is_that_of_real_bytes_that_decode(recipe: Recipe) -> None:
    """Layer by layer, against encoders; dense, bitmask and CSR agree with `cost`."""
    net = Small()
    table = encodings(net, recipe, codebook_bits=3, gap_bits=4, input_shape=net.shape).set_index("layer")
    plan = CompressionPlan(net, net.shape)
    baked, figures = bake(compress(net, recipe, input_shape=net.shape)), cost(net, net.shape, recipe)
    assert list(table.index) == [*figures.layers, "total"]
    for name, layer in figures.layers.items():
        row, value = table.loc[name], baked.get_submodule(name).weight.detach()
        assert isinstance(value, torch.Tensor)
        assert layer.nonzero == row["nonzero"] and layer.params == row["params"]
        grid = plan.quantized(recipe, name)
        codes = weight_codes(value, grid)
        if grid is None:
            assert decode_relative(encode_relative(codes, 4)).codes.tobytes() == value.numpy().tobytes()
            assert decode_huffman(encode_huffman(codes)).codes.tobytes() == value.numpy().tobytes()
        for encoded, decode in ((encode_relative(codes, 4), decode_relative), (encode_huffman(codes), decode_huffman)):
            back = decode(encoded)
            assert np.array_equal(back.codes, codes.codes) and np.array_equal(back.positions, codes.positions)
        scales = 0 if grid is None else len(grid.scale) * (4 if grid.symmetric else 5)
        scales += 0 if grid is None or grid.codebook is None else 4 * len(grid.codebook)
        assert row["relative_index"] == encode_relative(codes, 4).total + scales
        assert row["huffman"] == encode_huffman(codes).total + scales
        if layer.encoding != "dense" or recipe.quantization is None:
            assert row[layer.encoding] == layer.bytes_encoded
        shared = share_values(value, 3)
        assert row["deep_compression"] == 32 + encode_deep(shared.codes, 4).total
        packed = min(encode_relative(shared.codes, 4).total, -(-3 * layer.params // 8))
        assert row["codebook"] == 32 + packed
        back = torch.from_numpy(shared.codebook[decode_deep(encode_deep(shared.codes, 4)).codes[:, 0]]).reshape(value.shape)
        assert row["codebook_rmse"] == pytest.approx(float((back - value)[value != 0].double().pow(2).mean().sqrt()), rel=1e-6)
    assert table.loc["total", "huffman"] == table["huffman"].iloc[:-1].sum()
    assert np.isnan(float(table["bits"].astype("float64").iloc[-1]))


def test_bits_may_differ_by_layer_and_the_network_may_be_compressed_already() -> None:
    """A mapping of bits; layers not named take 5."""
    net = Small()
    first = encodings(compress(net, Recipe(Pruning(0.5)), input_shape=net.shape), codebook_bits={"conv1": 8})
    assert first["codebook_bits"].tolist()[:2] == [8, 5]
    second = encodings(net, Recipe(Pruning(0.5)), codebook_bits={"conv1": 8}, input_shape=net.shape)
    assert first["deep_compression"].tolist() == second["deep_compression"].tolist()


def test_a_layer_of_zeros_and_a_network_without_weights() -> None:
    """Nothing but the codebook is left; no rows but the total."""
    net = nn.Sequential(nn.Linear(4, 3))
    with torch.no_grad():
        net[0].weight.zero_()
    row = encodings(net).iloc[0]
    assert (row["relative_index"], row["deep_compression"], row["codebook_rmse"]) == (0, 128, 0)
    assert encodings(nn.Sequential(nn.ReLU())).values.tolist()[0][:3] == ["total", 0, 0]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"codebook_bits": 1}, InputError, "codebook_bits is 1; expected one of 2"),
        ({"codebook_bits": 5.0}, InputError, "whole number"),
        ({"codebook_bits": None}, InputError, "whole number"),
        ({"codebook_bits": {"conv1": 9}}, InputError, r"codebook_bits\['conv1'\] is 9"),
        ({"codebook_bits": {"conf1": 4}}, RecipeError, "did you mean 'conv1'"),
        ({"gap_bits": 9}, InputError, "gap_bits is 9"),
        ({"index_bytes": 3}, InputError, "index_bytes is 3"),
        ({"index_bytes": 1}, InputError, "needs 2"),
    ],
)
def test_malformed_arguments_are_refused(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    """What was got, what was expected."""
    with pytest.raises(error, match=message):
        encodings(Small(), **arguments)


@pytest.mark.parametrize("amount", [0.0, 0.6])
@pytest.mark.parametrize(("bits", "method"), [(1, "binary"), (1, "codebook"), (3, "codebook")])
def test_codes_without_a_zero_tell_all_values_apart(bits: int, method: str, amount: float) -> None:
    """As many codes as values; with zeros 0 is theirs, and one symmetric bit becomes two."""
    weight = compressed_linear(amount)
    grid = quantize(weight, bits, "tensor", True, 0, weight != 0, method=method)
    codes = weight_codes(grid.dequantized, grid)
    pairs = {(int(q), float(w)) for q, w in zip(codes.codes[:, 0], grid.dequantized.reshape(-1), strict=True)}
    assert len(pairs) == len({q for q, _ in pairs}) == len({w for _, w in pairs}) == len(grid.dequantized.unique())
    assert codes.has_zero == (amount > 0) and ((0, 0.0) in pairs) == codes.has_zero
    assert codes.bits == (2 if method == "binary" and amount else bits)
    assert len(codes.positions) == int(torch.count_nonzero(grid.dequantized))
