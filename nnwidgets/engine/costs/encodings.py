"""Weights as bytes in the encodings of Deep Compression (Han et al. 2016), and back: every size is that of real bytes.

What a reader has to know besides the streams (shape, bits, number of entries, bits of a gap) is a few bytes a layer and not
counted, as in `sizes`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from nnwidgets.engine.costs import huffman
from nnwidgets.engine.costs.huffman import HuffmanStream
from nnwidgets.engine.costs.packed import pack_bits, unpack_bits
from nnwidgets.engine.costs.relative_index import GAP_BITS, entries_of, gaps_of, positions_of, relative_index_bytes
from nnwidgets.engine.costs.sizes import dense_bytes
from nnwidgets.engine.errors import FileError, InputError

__all__ = [
    "EncodedWeight",
    "WeightCodes",
    "best_gap_bits",
    "decode_deep",
    "decode_huffman",
    "decode_relative",
    "deep_bytes",
    "encode_deep",
    "encode_huffman",
    "encode_relative",
    "huffman_bytes",
    "relative_bytes",
]

_Codes = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class WeightCodes:
    """The numbers of one weight, laid flat.

    Attributes:
        codes: (n, W) bytes: numbers as they are in memory (W bytes, bits = 8 W), or codes below 2**bits (W = 1). Zero is all 0.
        bits: of a number, without padding. has_zero: False where no number is zero, so that 0 is a code like any other.
    """

    codes: _Codes
    bits: int
    has_zero: bool = True
    positions: npt.NDArray[np.int64] = field(init=False)  # of what is not zero, ascending

    def __post_init__(self) -> None:
        if self.codes.ndim != 2 or self.codes.dtype != np.uint8 or not 8 * (self.width - 1) < self.bits <= 8 * self.width:
            raise InputError(
                f"codes are {self.codes.dtype} {self.codes.shape} of {self.bits} bits; expected uint8 (n, ceil(bits / 8))."
            )
        object.__setattr__(self, "positions", np.flatnonzero(self.codes.any(axis=1) | (not self.has_zero)))

    @property
    def count(self) -> int:
        """How many numbers, zeros too."""
        return len(self.codes)

    @property
    def width(self) -> int:
        """Bytes of a number in ``codes``."""
        return int(self.codes.shape[1])

    @property
    def alphabet(self) -> int:
        """How many values a byte of ``codes`` may have."""
        return 256 if self.width > 1 else 1 << self.bits


@dataclass(frozen=True)
class EncodedWeight:
    """One weight as bytes.

    Attributes:
        streams: by name, all that is counted. count, bits, has_zero: of the numbers. entries: nonzero numbers and fillers, or
            ``count``. gap_bits: of a gap, None without gaps.
    """

    streams: Mapping[str, bytes]
    count: int
    bits: int
    entries: int
    gap_bits: int | None = None
    has_zero: bool = True

    @property
    def total(self) -> int:
        """Bytes of all streams."""
        return sum(map(len, self.streams.values()))

    @property
    def width(self) -> int:
        """Bytes of a number when it is unpacked."""
        return -(-self.bits // 8)


# Relative index


def relative_bytes(weight: WeightCodes, gap_bits: int) -> int:
    """Return the bytes of `encode_relative`."""
    return relative_index_bytes(entries_of(weight.positions, gap_bits), weight.bits, gap_bits)


def best_gap_bits(weight: WeightCodes) -> int:
    """Return the bits of a gap that make the relative index smallest, the fewer of two that do."""
    return min(GAP_BITS, key=lambda bits: relative_bytes(weight, bits))


def encode_relative(weight: WeightCodes, gap_bits: int) -> EncodedWeight:
    """Encode nonzero numbers and fillers, and the gaps before them."""
    gaps, entries = _entries(weight, gap_bits)
    streams = {"values": _packed(entries, weight.bits), "gaps": pack_bits(gaps, gap_bits).tobytes()}
    return EncodedWeight(streams, weight.count, weight.bits, len(gaps), gap_bits, weight.has_zero)


def decode_relative(encoded: EncodedWeight) -> WeightCodes:
    """Return what `encode_relative` was given. Raises FileError where the streams are damaged."""
    gap_bits = _gap_bits(encoded)
    gaps = _unpacked(encoded.streams["gaps"], gap_bits, encoded.entries)
    entries = _unpacked(encoded.streams["values"], encoded.bits, encoded.entries)
    return _placed(encoded, gaps[:, 0], entries)


# Huffman


def huffman_bytes(weight: WeightCodes) -> int:
    """Return the bytes of `encode_huffman`."""
    return sum(huffman.encoded_bytes(np.bincount(column, minlength=weight.alphabet)) for column in weight.codes.T)


def encode_huffman(weight: WeightCodes) -> EncodedWeight:
    """Encode all numbers, zeros too: a code for each byte of a number (first, second, ...), or for its few bits."""
    streams: dict[str, bytes] = {}
    for place, column in enumerate(weight.codes.T):
        stream = huffman.encode(column, weight.alphabet)
        streams |= {f"table{place}": stream.table, f"codes{place}": stream.codes}
    return EncodedWeight(streams, weight.count, weight.bits, weight.count, None, weight.has_zero)


def decode_huffman(encoded: EncodedWeight) -> WeightCodes:
    """Return what `encode_huffman` was given. Raises FileError where the streams are damaged."""
    alphabet = 256 if encoded.width > 1 else 1 << encoded.bits
    columns = [
        huffman.decode(HuffmanStream(encoded.streams[f"table{i}"], encoded.streams[f"codes{i}"]), encoded.count, alphabet)
        for i in range(encoded.width)
    ]
    return WeightCodes(np.stack(columns, axis=1), encoded.bits, encoded.has_zero)


# Relative index, then Huffman for values and gaps


def deep_bytes(weight: WeightCodes, gap_bits: int) -> int:
    """Return the bytes of `encode_deep`: of weights whose codes point into a codebook; its own bytes are apart."""
    zeros = np.diff(weight.positions, prepend=-1) - 1
    fillers = int((zeros >> gap_bits).sum())
    gaps = np.bincount(zeros & (2**gap_bits - 1), minlength=2**gap_bits)
    gaps[-1] += fillers
    codes = np.bincount(weight.codes[weight.positions, 0], minlength=weight.alphabet)
    codes[0] += fillers
    return huffman.encoded_bytes(codes) + huffman.encoded_bytes(gaps)


def encode_deep(weight: WeightCodes, gap_bits: int) -> EncodedWeight:
    """Encode codes of at most 8 bits: relative index, then a Huffman code for the codes and one for the gaps."""
    gaps, entries = _entries(weight, gap_bits)
    codes, places = huffman.encode(entries[:, 0], weight.alphabet), huffman.encode(gaps, 1 << gap_bits)
    streams = {"code_table": codes.table, "codes": codes.codes, "gap_table": places.table, "gaps": places.codes}
    return EncodedWeight(streams, weight.count, weight.bits, len(gaps), gap_bits, weight.has_zero)


def decode_deep(encoded: EncodedWeight) -> WeightCodes:
    """Return what `encode_deep` was given. Raises FileError where the streams are damaged."""
    streams, gap_bits = encoded.streams, _gap_bits(encoded)
    codes = huffman.decode(HuffmanStream(streams["code_table"], streams["codes"]), encoded.entries, 1 << encoded.bits)
    gaps = huffman.decode(HuffmanStream(streams["gap_table"], streams["gaps"]), encoded.entries, 1 << gap_bits)
    return _placed(encoded, gaps, codes[:, None])


# Parts


def _entries(weight: WeightCodes, gap_bits: int) -> tuple[_Codes, _Codes]:
    """Gaps (E,) and numbers (E, W) of nonzero weights and fillers."""
    gaps, is_filler = gaps_of(weight.positions, gap_bits)
    entries = np.zeros((len(gaps), weight.width), np.uint8)
    entries[~is_filler] = weight.codes[weight.positions]
    return gaps, entries


def _placed(encoded: EncodedWeight, gaps: _Codes, entries: _Codes) -> WeightCodes:
    codes = np.zeros((encoded.count, encoded.width), np.uint8)
    codes[positions_of(gaps, encoded.count)] = entries
    return WeightCodes(codes, encoded.bits, encoded.has_zero)


def _packed(codes: _Codes, bits: int) -> bytes:
    return (codes if codes.shape[1] > 1 else pack_bits(codes[:, 0], bits)).tobytes()


def _unpacked(packed: bytes, bits: int, count: int) -> _Codes:
    """(count, W) numbers."""
    raw = np.frombuffer(packed, np.uint8)
    expected = dense_bytes(count, bits)
    if len(raw) != expected:
        raise FileError(f"A stream of {count} numbers has {len(raw)} bytes; expected {expected}. Encode the weights again.")
    return raw.reshape(count, bits // 8) if bits > 8 else unpack_bits(raw, bits, count)[:, None]


def _gap_bits(encoded: EncodedWeight) -> int:
    if encoded.gap_bits is None or encoded.gap_bits not in GAP_BITS:
        raise FileError(f"gap_bits is {encoded.gap_bits!r}; expected a whole number from 1 to 8. Encode the weights again.")
    return encoded.gap_bits
