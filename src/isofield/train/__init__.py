"""Training: one call from cases to a model that has learned them."""

from isofield.train.checkpoint import CHECKPOINT, TrainingError
from isofield.train.evaluation import evaluate
from isofield.train.schedule import Schedule
from isofield.train.training import History, fit

__all__ = ["CHECKPOINT", "History", "Schedule", "TrainingError", "evaluate", "fit"]
