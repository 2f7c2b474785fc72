"""The retrain job: how a run begins (`start`), what it starts from (`basis`), and how it is carried out (`job`)."""

from service.retrain.job import Progress, RunResult, retrain
from service.retrain.start import RunEndedError

__all__ = ["Progress", "RunEndedError", "RunResult", "retrain"]
