"""What a program or an analyst asks of a nearcast server."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import quote

from service.client import frames
from service.client.errors import RunFailedError, WaitError
from service.client.progress import make_bar
from service.client.transport import Transport, key_header

if TYPE_CHECKING:
    import pandas as pd

Measure = Literal["count", "value"]
Names = str | Sequence[str] | None
LOOK_EVERY = 0.2
"""Seconds between two looks at a run; half as often again after each, up to LOOK_AT_LEAST."""
LOOK_AT_LEAST = 2.0
SERVED_WITHIN = 10.0
"""Seconds in which a server is expected to take up what was published."""


@dataclass(frozen=True, eq=False)
class Scenario:
    """What would change: exact arithmetic on the estimated rates, not a causal claim.

    steps
        Frame: segment, stage, ds, step, mean (published), change, scenario (both together).
    sums
        Frame, over the horizon: segment, stage, mean, change, scenario, in_flight, decided (in_flight / mean: what no
        inflow can change any more), half_arrived (day by which half of the change has come; NaT without one).
    basis
        How it was reckoned, and what it does not claim.
    """

    steps: pd.DataFrame
    sums: pd.DataFrame
    basis: str


class Client:
    """A connection to one server; close it, or use it as a context.

    Parameters
    ----------
    url
        Where `nearcast serve` answers.
    key
        Secret of an API key, where the server asks for one; None: NEARCAST_KEY of the environment, if it is set.
        Read it from a file or a vault: what stands in a notebook is shared with it.
    timeout
        Seconds without a sign of life before NoAnswerError.
    retries
        How often a request is sent again after a 503, waiting longer each time.
    headers
        Sent with each request; an `Authorization` among them goes before the key.

    Every method raises `ProblemError`, by kind, with the server's words, and `NoAnswerError` without an answer.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        *,
        key: str | None = None,
        timeout: float = 60.0,
        retries: int = 4,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        key = os.environ.get("NEARCAST_KEY") if key is None else key
        sent = {**key_header(key), **{name.lower(): value for name, value in (headers or {}).items()}}
        self._transport = Transport(url, timeout=timeout, retries=retries, headers=sent)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._transport.close()

    def declare(self, funnel: str, *, stages: Sequence[str], **declaration: Any) -> dict[str, Any]:
        """Say what a funnel is: `stages` in order, and `exits`, `segment_by`, `due_stage`, `timezone`, `country`,
        `declared_days`, `max_horizon`, `gate`, `schedule`, ... as in `PUT /v1/funnels/{funnel}`. Returns the funnel.

        A declaration is whole: what is left out goes back to its default, also where it was inferred or declared.
        """
        document = {"stages": list(stages), **declaration}
        return self._json("PUT", _path(funnel), json=document)

    def funnels(self) -> list[dict[str, Any]]:
        """All funnels by name: declaration, whether it was inferred, the version served."""
        return list(self._json("GET", "/v1/funnels")["funnels"])

    def ingest(
        self,
        funnel: str,
        data: pd.DataFrame | str | PathLike[str],
        *,
        kind: Literal["events", "counts"] = "events",
        idempotency_key: str | None = None,
        **options: str,
    ) -> dict[str, Any]:
        """Send events (entity_id, stage, ts, ...) or counts (ds, stage, y, ...); returns what became of the rows.

        Parameters
        ----------
        data
            A frame, or the path of a CSV (also .gz), NDJSON, JSON or Parquet file.
        idempotency_key
            With the same key again nothing is taken in twice; a new one for each call when None.
        options
            How to read it, as in the query of `POST .../events`: `map="entity_id=lead_id"`, `wide`, `stages="a,b"`,
            `exits`, `segment_by`, `due_stage`, `timezone`, `country`, `fresh_until`.

        Raises
        ------
        RefusedError
            With line, field and remedy in `places`; nothing was kept. Line n of a frame is its row n - 2.
        """
        media_type, body = (
            frames.body_from_path(Path(data)) if isinstance(data, str | PathLike) else frames.body_from_frame(data)
        )
        headers = {"content-type": media_type, "idempotency-key": idempotency_key or uuid.uuid4().hex}
        return self._json("POST", _path(funnel, kind), params=options, headers=headers, body=body)

    def forecast(
        self,
        funnel: str,
        *,
        stage: Names = None,
        segment: Names = None,
        horizon: int | None = None,
        measure: Measure = "count",
        as_of: datetime | str | None = None,
    ) -> pd.DataFrame:
        """The published forecast, one row per segment, stage and step.

        Parameters
        ----------
        stage, segment
            One name or several; None: all.
        horizon
            Steps; None: 28 days or 4 weeks.
        measure
            How many, or what they are worth.
        as_of
            Instant with its zone: what had been published by then.

        Returns
        -------
        Columns segment, stage, ds (last day of the step), step (from 1), mean, q0.025, q0.1 .. q0.9, q0.975, in_flight
        and new and their bounds such as new_upper_80 (NaN where not told apart), reliable. `attrs` has
        funnel, version, cutoff, published_at, stale, frequency, measure.

        Raises
        ------
        RefusedError
            For a horizon that is not served; `members["error_growth"]` says why. For value where no row carries any.
        """
        params = {**_choice(stage, segment, horizon, as_of), "measure": measure}
        headers = {"accept": frames.forecast_types()}
        answer = self._transport.request("GET", _path(funnel, "forecast"), params=params, headers=headers)
        if answer.headers["content-type"] == frames.PARQUET:
            return frames.frame_from_parquet(answer.content)
        return frames.frame_from_forecast(answer.json())

    def declared(
        self,
        funnel: str,
        *,
        stage: Names = None,
        segment: Names = None,
        horizon: int | None = None,
        as_of: datetime | str | None = None,
    ) -> pd.DataFrame:
        """Declared days that the forecast holds, one row per segment, stage and day or range: name, start, end, the
        `factor` by which the forecast is multiplied, and `evidence`, the earlier days of that name it is learnt from.

        The forecast is chosen, and a horizon refused, as by `forecast`.
        """
        params = _choice(stage, segment, horizon, as_of)
        answer = self._json("GET", _path(funnel, "forecast"), params=params)
        rows = [
            {"segment": series["segment"], "stage": series["stage"], **each}
            for series in answer["forecasts"]
            for each in series["declared"]
        ]
        return frames.frame_from_rows(rows, days=["start", "end"], numbers=["factor"])

    def scorecard(self, funnel: str, *, measure: Measure = "count") -> pd.DataFrame:
        """Backtest of the served version: one row per segment, stage and steps first..last, with n actuals, wql,
        wmape, mase, bias, skill (1 - WQL / WQL of seasonal naive), coverage80 and coverage95.
        """
        scores = self._json("GET", _path(funnel, "scorecard"), params={"measure": measure})["scores"]
        measures = ("wql", "wmape", "mase", "bias", "skill", "coverage80", "coverage95")
        return frames.frame_from_rows(scores, numbers=measures)

    def live(self, funnel: str) -> pd.DataFrame:
        """What became of published forecasts: one row per segment, stage and steps first..last, with n actuals, wql,
        bias, coverage80, coverage95 and revision (mean absolute change from version to version, relative to the mean).
        """
        live = self._json("GET", _path(funnel, "scorecard"))["live"] or {"scores": []}
        measures = ("wql", "bias", "coverage80", "coverage95", "revision")
        return frames.frame_from_rows(live["scores"], numbers=measures)

    def alerts(self, funnel: str) -> pd.DataFrame:
        """Recent days on which an actual left its 95 % interval: one row per day `ds` and series, newest first."""
        rows = [{"ds": each.pop("date"), **each} for each in self._json("GET", _path(funnel, "alerts"))["alerts"]]
        return frames.frame_from_rows(rows, days=["ds"])

    def quality(self, funnel: str) -> dict[str, Any]:
        """What was repaired behind the served version, and the reports of the latest uploads."""
        return self._json("GET", _path(funnel, "quality"))

    def scenario(self, funnel: str, *levers: Mapping[str, Any], horizon: int | None = None) -> Scenario:
        """What would change at each stage and day if inflow, conversion or delay changed; all levers together.

        A lever: `{"kind": "inflow", "stage": "lead", "percent": 10}`, or `add`; `{"kind": "conversion", "stage",
        "percent"}`; `{"kind": "delay", "stage", "days"}`; with `segment`, `start` and `end` where wanted.
        """
        asked = {"levers": [dict(lever) for lever in levers], "horizon": horizon}
        document = self._json("POST", _path(funnel, "scenario"), json=asked)
        return Scenario(*frames.frames_from_scenario(document), basis=document["basis"])

    def retrain(
        self, funnel: str, *, wait: bool = True, seconds: float = 3600.0, progress: bool = True
    ) -> dict[str, Any]:
        """Start a retrain, or join the one going on; returns its run, ended when `wait`.

        Raises
        ------
        RunFailedError
            With the reason; what is served stays as it was.
        WaitError
            When it goes on after `seconds`.
        """
        run = self._json("POST", _path(funnel, "retrain"))
        return self.wait(run["run"], seconds=seconds, progress=progress) if wait else run

    def run(self, number: int) -> dict[str, Any]:
        """A run: status, reason, the phases it has finished, whether it published."""
        return self._json("GET", f"/v1/runs/{number}")

    def wait(self, number: int, *, seconds: float = 3600.0, progress: bool = True) -> dict[str, Any]:
        """Wait for the end of a run; raises as `retrain`."""
        end, pause = time.monotonic() + seconds, LOOK_EVERY
        with make_bar(wanted=progress) as bar:
            while True:
                run = self.run(number)
                bar.show(run)
                if run["status"] == "failed":
                    raise RunFailedError(run)
                if run["status"] == "succeeded":
                    self._wait_until_served(run["funnel"])
                    return run
                if time.monotonic() >= end:
                    raise WaitError(run, seconds=seconds)
                time.sleep(min(pause, max(end - time.monotonic(), 0)))
                pause = min(1.5 * pause, LOOK_AT_LEAST)

    def _wait_until_served(self, funnel: str) -> None:
        """Until the server answers from the version that the store says is active: moments after it was published.

        Not an error when it takes longer: the store may be away from the server, or the next version published.
        """
        end = time.monotonic() + SERVED_WITHIN
        while time.monotonic() < end:
            active = self._json("GET", _path(funnel))["active_version"]
            if active is None or self.quality(funnel)["version"] == active:
                return
            time.sleep(LOOK_EVERY)

    def versions(self, funnel: str) -> pd.DataFrame:
        """Published versions, newest first: version, active, published_at, cutoff, horizon, model, reason, ..."""
        versions = self._json("GET", _path(funnel, "versions"))["versions"]
        return frames.frame_from_rows(versions, days=["cutoff"], instants=["published_at"])

    def activate(self, funnel: str, version: int) -> dict[str, Any]:
        """Serve another of its versions: roll back, or forward again."""
        return self._json("POST", _path(funnel, "versions", str(version), "activate"))

    def _json(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        document: dict[str, Any] = self._transport.request(method, path, **request).json()
        return document


def _path(funnel: str, *parts: str) -> str:
    return "/".join(["/v1/funnels", *(quote(part, safe="") for part in (funnel, *parts))])


def _choice(stage: Names, segment: Names, horizon: int | None, as_of: datetime | str | None) -> dict[str, Any]:
    """Which published forecast is asked for, and how much of it, as the query has it."""
    instant = as_of.isoformat() if isinstance(as_of, datetime) else as_of
    return {"stage": _names(stage), "segment": _names(segment), "horizon": horizon, "as_of": instant}


def _names(names: Names) -> list[str] | None:
    return None if names is None else [names] if isinstance(names, str) else list(names)
