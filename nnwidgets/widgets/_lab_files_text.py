"""Words of the lab's files: formats with what they hold, encodings, energy, sparse products."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nnwidgets.widgets._lab_text import choice

__all__ = ["FILE_HELP", "FORMATS"]

FORMATS: tuple[dict[str, Any], ...] = (
    choice("state_dict", "state dict", "Numbers alone, of torch.save: torch.load(weights_only=True) reads them into your class."),
    choice("safetensors", "safetensors", "The same numbers in a format that cannot hold code."),
    choice("onnx", "ONNX", "The computation with its numbers, for onnxruntime and others: no Python class is needed."),
    choice("torch_export", "torch.export", "The computation with its numbers, for torch alone: no Python class is needed."),
    choice(
        "packed", "packed", "Few bits stay few bits, and zeros are left out: the size that the lab shows. nnwidgets reads it."
    ),
)

FILE_HELP: Mapping[str, dict[str, str]] = {
    "export_format": {
        "what": "What other programs can read.\n" + "\n".join(f"{each['label']}: {each['help']['what']}" for each in FORMATS)
    },
    "export_materialized": {
        "what": "The network without the removed units, in place of one with zeros: less work with every program. "
        "It answers the same, which is checked."
    },
    "export_name": {
        "what": "A plain name. The file comes into the folder of the kernel; what is there is never replaced unasked."
    },
    "encodings": {
        "what": "All weights of this state, really encoded: each size is of bytes that decode to the same numbers. "
        "Codebook and Deep Compression round further: values are shared by k-means. × is against dense 32-bit floats.",
        "formula": "relative index: nonzero values and gaps of a few bits; Deep Compression: codebook, gaps, Huffman codes",
        "source": "Han et al. 2015; Han et al. 2016",
    },
    "energy": {
        "what": "An estimate by published constants, not a measurement: each multiply-accumulate once, each weight read once "
        "from DRAM. Activations, caches and control are left out. Newer chips need less; the ratio says more than the figure.",
        "formula": "E = MACs (E_multiply + E_add) + bits / 32 E_read; fp32: 3.7 + 0.9 pJ, DRAM: 640 pJ for 32 bits",
        "source": "Horowitz, ISSCC 2014, 45 nm, 0.9 V",
    },
    "crossover": {
        "what": "Products of the linear layers, timed on this machine in turns: as they are, and as compressed sparse rows (CSR) "
        "with so many of the smallest weights at zero. Strokes: 10th to 90th percentile of the pairs. Dashed: batch 1. "
        "Black: where the layer stands now.",
        "formula": "time dense / time CSR",
    },
}
