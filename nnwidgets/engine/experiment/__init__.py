"""An experiment: one network, its data, the recipe applied to it and everything that was tried."""

from nnwidgets.engine.experiment._experiment import Experiment
from nnwidgets.engine.experiment.events import Event, Notice, Task
from nnwidgets.engine.experiment.examples import list_examples, load_example, load_torchvision
from nnwidgets.engine.experiment.live import Live, Visit
from nnwidgets.engine.experiment.state import Attempt, History, State
from nnwidgets.engine.experiment.weights import WeightStore

__all__ = [
    "Attempt",
    "Event",
    "Experiment",
    "History",
    "Live",
    "Notice",
    "State",
    "Task",
    "Visit",
    "WeightStore",
    "list_examples",
    "load_example",
    "load_torchvision",
]
