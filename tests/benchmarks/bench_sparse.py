"""Sparse linear layers: dense product against compressed sparse rows, at several shares of zeros and batch 1 and 64."""

from __future__ import annotations

from collections.abc import Iterator

from figures import Figure

from nnwidgets.engine.costs import sparse_crossover

_SIZES = ((300, 784), (500, 800), (3072, 768), (4096, 4096))
_FASTER = (">=", 1.0)
_SURE = 0.9  # from here on CSR is faster on every machine that was seen


def figures() -> Iterator[Figure]:
    """dense / CSR of LeNet-300-100's and LeNet-5's first linear layer, one of ViT-B and one of VGG16."""
    for size in _SIZES:
        table = sparse_crossover(sizes=[size], repeats=9 if size[0] > 1000 else 25)
        for row in table.to_dict("records"):
            name = f"{row['layer']}, batch {row['batch']}, {100 * row['zeros']:g} % zeros: dense / CSR"
            start = "never" if row["faster_from"] is None else f"from {100 * row['faster_from']:g} %"
            note = f"faster {start}; spread: 10 to 90 % of {row['pairs']} pairs; dense {row['dense_ms']:.3g} ms"
            yield Figure(name, (row["low"], row["ratio"], row["high"]), _FASTER if row["zeros"] >= _SURE else None, note=note)
