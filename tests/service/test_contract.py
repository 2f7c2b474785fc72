"""The API keeps to its own OpenAPI document whatever is sent to it, and is never at a loss (no 5xx)."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import booleans
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from service.app import make_app
from service.settings import Settings

pytestmark = pytest.mark.one_engine

EXAMPLES = 40
BEYOND_SCHEMA = [positive_data_acceptance, negative_data_rejection]
"""What may be sent depends on more than a schema can say: which funnels there are, what rows mean."""
ROUTES = [
    (method.upper(), path, mode)
    for path, operations in make_app(Settings()).openapi()["paths"].items()
    for method, operation in operations.items()
    for mode in GenerationMode
    # A route that takes nothing cannot be asked wrongly.
    if mode is GenerationMode.POSITIVE or operation.keys() & {"parameters", "requestBody"}
]


@pytest.fixture(scope="module")
def api(server, sales):
    """The schema of a running server that has a trained funnel."""
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json")


@pytest.mark.slow
@pytest.mark.parametrize(("method", "path", "mode"), ROUTES)
def test_every_route_answers_as_documented_whatever_is_sent(api, sales, method, path, mode):
    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(case=api[path][method].as_strategy(generation_mode=mode), known=booleans())
    def answers_as_documented(case, known):
        if known and method == "GET" and "funnel" in case.path_parameters:
            case.path_parameters["funnel"] = sales  # past the 404 there is more to go wrong
        case.call_and_validate(timeout=60, excluded_checks=BEYOND_SCHEMA)

    answers_as_documented()


def test_every_documented_answer_of_an_error_is_a_problem_document(client):
    document = client.get("/openapi.json").json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for status, answer in operation["responses"].items():
                if status >= "400":
                    assert list(answer["content"]) == ["application/problem+json"], (method, path, status)
                    reference = answer["content"]["application/problem+json"]["schema"]["$ref"]
                    assert reference == "#/components/schemas/ProblemDocument"


def test_every_route_and_parameter_says_what_it_is(client):
    document = client.get("/openapi.json").json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["description"], (method, path)
            for parameter in operation.get("parameters", ()):
                if parameter["in"] != "header":
                    assert parameter.get("description"), (method, path, parameter["name"])
