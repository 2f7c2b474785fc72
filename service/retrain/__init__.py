"""The retrain job (`job`): how a run begins (`start`), its `basis`, and what a fit makes of it (`candidate`)."""

from service.retrain.candidate import Progress
from service.retrain.job import RunResult, retrain
from service.retrain.start import RunEndedError

__all__ = ["Progress", "RunEndedError", "RunResult", "retrain"]
