"""Files of weights: read without believing them, written whole or not at all."""

from __future__ import annotations

from nnwidgets.engine.files._pickled import read_pickled
from nnwidgets.engine.files._tensors import check_header, read_tensors
from nnwidgets.engine.files._whole import written_whole

__all__ = ["check_header", "read_pickled", "read_tensors", "written_whole"]
