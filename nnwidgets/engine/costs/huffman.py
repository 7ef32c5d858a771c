"""Huffman codes (Huffman 1952) in canonical form: only the lengths of the codes are stored, the codes follow from them.

A table has a bit for each symbol of the alphabet (is it used?) and a byte for each used symbol (how long is its code?). Where one
symbol is used its code is empty. The mean length lies between the entropy H and H + 1 bits a symbol.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nnwidgets.engine.errors import FileError

__all__ = ["HuffmanStream", "code_lengths", "decode", "encode", "encoded_bytes", "table_bytes"]

_LONGEST = 62  # bits of a code; a code of 63 bits needs more than 10^13 symbols (Fibonacci counts)
_CHUNK = 1 << 18  # symbols, or bits, worked on at a time: bounds the memory

_Symbols = npt.NDArray[np.uint8]
_Lengths = npt.NDArray[np.int64]


@dataclass(frozen=True)
class HuffmanStream:
    """Symbols as stored: the table of code lengths, and the codes one after another, most significant bit first."""

    table: bytes
    codes: bytes

    @property
    def total(self) -> int:
        """Bytes of both."""
        return len(self.table) + len(self.codes)


def code_lengths(counts: npt.NDArray[np.int64]) -> _Lengths:
    """Return the bits of each symbol's code: (A,) counts of the symbols of an alphabet -> (A,) lengths, 0 for what is not used.

    Of equal weights the tree with the smaller symbol goes first, so that the same counts always give the same code.
    """
    lengths = np.zeros(len(counts), np.int64)
    heap = [(int(counts[symbol]), int(symbol), [int(symbol)]) for symbol in np.flatnonzero(counts)]
    heapq.heapify(heap)
    while len(heap) > 1:
        first, second = heapq.heappop(heap), heapq.heappop(heap)
        together = first[2] + second[2]
        lengths[together] += 1
        heapq.heappush(heap, (first[0] + second[0], min(first[1], second[1]), together))
    return lengths


def table_bytes(counts: npt.NDArray[np.int64]) -> int:
    """Return the bytes of the table of code lengths."""
    return -(-len(counts) // 8) + int(np.count_nonzero(counts))


def encoded_bytes(counts: npt.NDArray[np.int64]) -> int:
    """Return the bytes that `encode` gives for symbols with these counts, table and all; nothing for no symbols."""
    if not counts.any():
        return 0
    return table_bytes(counts) + -(-int((counts * code_lengths(counts)).sum()) // 8)


def encode(symbols: _Symbols, alphabet: int) -> HuffmanStream:
    """Encode (n,) symbols below ``alphabet``, which is at most 256. No symbols give an empty stream."""
    if not len(symbols):
        return HuffmanStream(b"", b"")
    counts = np.bincount(symbols, minlength=alphabet)
    lengths = code_lengths(counts)
    codes = _canonical(lengths)
    ends = np.cumsum(lengths[symbols])
    bits = np.zeros(int(ends[-1]), np.uint8)
    for first in range(0, len(symbols), _CHUNK):
        part = symbols[first : first + _CHUNK]
        length, code, end = lengths[part], codes[part], ends[first : first + _CHUNK]
        for back in range(int(length.max())):  # bit by bit from the end of each code
            has = length > back
            bits[end[has] - 1 - back] = (code[has] >> np.uint64(back)) & np.uint64(1)
    used = counts > 0
    table = np.concatenate([np.packbits(used), lengths[used].astype(np.uint8)])
    return HuffmanStream(table.tobytes(), np.packbits(bits).tobytes())


def decode(stream: HuffmanStream, count: int, alphabet: int) -> _Symbols:
    """Return the ``count`` symbols that `encode` was given.

    Raises:
        FileError: the table is no Huffman code, or the codes are not those of ``count`` symbols.
    """
    if count == 0:
        _sound(not stream.table and not stream.codes, "bytes are left over")
        return np.zeros(0, np.uint8)
    lengths, used = _read_table(stream.table, alphabet)
    if len(used) == 1:
        _sound(not stream.codes, "bytes are left over")
        return np.full(count, used[0], np.uint8)
    bits = np.unpackbits(np.frombuffer(stream.codes, np.uint8))
    symbols, sizes = _at_every_bit(bits, lengths)
    _sound(count <= len(bits), "the codes end too early")
    starts = np.empty(count, np.int64)
    steps, place, end = sizes.tolist(), 0, len(bits)
    for i in range(count):
        if place >= end:
            raise FileError(_words("the codes end too early"))
        starts[i] = place
        place += steps[place]
    _sound(place <= end and end - place < 8 and not bits[place:].any(), "the codes do not end where they should")
    return symbols[starts]


def _canonical(lengths: _Lengths) -> npt.NDArray[np.uint64]:
    """Codes in order of length, then of symbol: each is the one before plus 1, with zeros appended where it is longer."""
    codes = np.zeros(len(lengths), np.uint64)
    code, before = 0, 0
    for symbol in _in_order(lengths):
        length = int(lengths[symbol])
        code <<= length - before
        codes[symbol], before = code, length
        code += 1
    return codes


def _in_order(lengths: _Lengths) -> npt.NDArray[np.int64]:
    order = np.lexsort((np.arange(len(lengths)), lengths))
    return order[lengths[order] > 0]


def _at_every_bit(bits: npt.NDArray[np.uint8], lengths: _Lengths) -> tuple[_Symbols, _Symbols]:
    """The symbol, and the length of its code, that would be read at each bit: canonical codes ascend when laid left."""
    longest = int(lengths.max())
    order = _in_order(lengths)
    left = _canonical(lengths)[order] << (longest - lengths[order]).astype(np.uint64)
    symbols, sizes = np.empty(len(bits), np.uint8), np.empty(len(bits), np.uint8)
    padded = np.concatenate([bits, np.zeros(longest, np.uint8)])
    for first in range(0, len(bits), _CHUNK):
        here = min(_CHUNK, len(bits) - first)
        window = np.zeros(here, np.uint64)
        for ahead in range(longest):
            window = (window << np.uint64(1)) | padded[first + ahead : first + ahead + here]
        found = order[np.searchsorted(left, window, side="right") - 1]
        symbols[first : first + here], sizes[first : first + here] = found, lengths[found]
    return symbols, sizes


def _read_table(table: bytes, alphabet: int) -> tuple[_Lengths, npt.NDArray[np.int64]]:
    """(A,) lengths of the codes, and the symbols that are used."""
    flags = -(-alphabet // 8)
    _sound(len(table) > flags, "the table of codes is cut off")
    bits = np.unpackbits(np.frombuffer(table[:flags], np.uint8))
    _sound(not bits[alphabet:].any(), "the table of codes names symbols that there are not")
    used, given = np.flatnonzero(bits[:alphabet]), np.frombuffer(table[flags:], np.uint8)
    _sound(len(given) == len(used), "the table of codes has another number of lengths than of symbols")
    lengths = np.zeros(alphabet, np.int64)
    lengths[used] = given
    if len(given) == 1:
        _sound(int(given[0]) == 0, "the lengths of the codes are impossible")
    else:
        longest = int(given.max())
        possible = int(given.min()) > 0 and longest <= _LONGEST
        complete = possible and sum(1 << (longest - int(n)) for n in given) == 1 << longest  # Kraft's sum is 1
        _sound(complete, "the lengths of the codes are impossible")
    return lengths, used


def _sound(condition: bool, what: str) -> None:
    if not condition:
        raise FileError(_words(what))


def _words(what: str) -> str:
    return f"The Huffman codes are damaged: {what}. Encode the weights again."
