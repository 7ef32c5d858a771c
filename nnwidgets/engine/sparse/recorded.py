"""The lottery that comes with the package."""

from __future__ import annotations

from importlib import resources

from nnwidgets.engine.errors import FileError, InputError
from nnwidgets.engine.sparse.lottery_records import LotteryResult

__all__ = ["recorded_lottery"]


def recorded_lottery() -> LotteryResult:
    """LeNet-300-100 on the bundled digits, ten seeds, fifteen rounds: recorded, not run now; ``.recorded`` says when and where.

    Made by tests/benchmarks/record_lottery.py.

    Raises:
        FileError: the file is missing or damaged.
    """
    file = resources.files("nnwidgets") / "assets" / "lottery_lenet300.json"
    try:
        return LotteryResult.from_json(file.read_text(encoding="utf-8"))
    except (OSError, InputError, UnicodeDecodeError) as error:
        raise FileError(
            f"the recorded lottery cannot be read: assets/lottery_lenet300.json: {error} Install nnwidgets again."
        ) from error
