"""The retrain job: what it starts from (`basis`), and the run that carries it out (`job`)."""

from service.retrain.job import Progress, RunEndedError, RunResult, retrain

__all__ = ["Progress", "RunEndedError", "RunResult", "retrain"]
