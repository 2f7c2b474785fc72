"""Problem documents: stable, complete, and never an echo of what came in."""

import importlib
import json
import pkgutil

import pytest

import models
import service
from models.errors import FunnelError, HistoryError, HorizonError, InputError, NearcastError, Problem
from service import problems
from service.auth import ForbiddenError, UnauthenticatedError
from service.problems import ProblemError, clean_text, document_from_problem, problem_from_error
from service.retrain.start import RunEndedError
from service.store import errors as store_errors


def all_subclasses(kind):
    for child in kind.__subclasses__():
        yield child
        yield from all_subclasses(child)


def test_an_input_error_names_each_line_field_reason_and_remedy():
    error = InputError([Problem("not a time", line=7, field="ts", remedy="use ISO 8601"), Problem("empty", line=9)])
    document = document_from_problem(problem_from_error(error))
    assert document["type"] == "urn:nearcast:problem:invalid-input"
    assert document["status"] == 422
    assert document["errors"] == [
        {"line": 7, "field": "ts", "reason": "not a time", "remedy": "use ISO 8601"},
        {"line": 9, "field": None, "reason": "empty", "remedy": None},
    ]


def test_a_funnel_error_names_its_field_once():
    document = document_from_problem(problem_from_error(FunnelError("cannot be", field="stages")))
    assert document["detail"] == "stages: cannot be"
    assert document["errors"] == [{"line": None, "field": "stages", "reason": "cannot be", "remedy": None}]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (FunnelError("cannot be", field="stages"), 422),
        (HistoryError("nothing usable"), 409),
        (HorizonError("too far"), 422),
        (store_errors.FunnelNotFoundError("x"), 404),
        (store_errors.VersionNotFoundError("none"), 404),
        (store_errors.RunNotFoundError("none"), 404),
        (store_errors.KeyNotFoundError("none"), 404),
        (store_errors.KeyNameTakenError("taken"), 409),
        (UnauthenticatedError("who?"), 401),
        (ForbiddenError("no"), 403),
        (store_errors.KeyInUseError("wait"), 409),
        (store_errors.KeyReusedError("other body"), 422),
        (store_errors.StoreUnavailableError("away"), 503),
        (store_errors.StoreBusyError("busy"), 503),
        (store_errors.LeaseLostError("lapsed"), 503),  # of the machine: the command ends with 1
        (RunEndedError("ended"), 503),
    ],
)
def test_each_error_has_its_status_and_its_slug_as_type(error, status):
    problem = problem_from_error(error)
    assert problem.status == status
    assert document_from_problem(problem)["type"].endswith(error.slug)


def test_every_error_class_of_models_and_store_has_a_title_and_a_status_of_its_own():
    for package in (models, service):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.startswith("service.migrations") and not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    for kind in all_subclasses(NearcastError):
        if kind.__module__.startswith(("models.", "service.")) and kind is not store_errors.StoreError:
            assert kind.slug in problems.TITLES, kind
            known = any(issubclass(kind, known) for known, _ in problems.STATUSES)
            assert known or kind.slug in problems.STATUSES_BY_SLUG, kind


def test_a_store_that_is_away_says_when_to_come_back():
    assert problem_from_error(store_errors.StoreUnavailableError("away")).headers["retry-after"] == "5"


def test_lone_surrogates_and_control_characters_do_not_break_or_reach_the_answer():
    document = document_from_problem(ProblemError(422, "invalid-input", "bad \ud800 and \x00 and \x1b[31m"))
    text = json.dumps(document, ensure_ascii=False)
    text.encode("utf-8")
    assert "\x1b" not in document["detail"]
    assert "\x00" not in document["detail"]


def test_long_texts_are_cut():
    assert len(clean_text("x" * 1_000_000)) == problems.LONGEST_TEXT
