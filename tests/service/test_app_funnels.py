"""Declaring funnels over HTTP: one rule for what may be declared, by whichever way it comes."""

from datetime import UTC, datetime

import pytest

from models.funnel import Funnel
from service.store.database import Database
from service.store.funnels import declare_funnel
from tests.service.answers import problem

HEADERS = {"content-type": "text/csv"}
CSV = "entity_id,stage,ts\na,lead,2024-01-01T10:00Z\na,won,2024-01-03T10:00Z\nb,lead,2024-01-02T10:00Z\n"
NAIVE = CSV.replace("Z", "")


@pytest.fixture
def funnel(request):
    """A funnel name of the test's own."""
    return "".join(letter if letter.isalnum() else "-" for letter in request.node.name)[-60:].strip("-")


def refused(answer, field):
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    (place,) = answer.json()["errors"]
    assert place["field"] == field
    assert not place["reason"].startswith(f"{field}: ")


@pytest.mark.parametrize("name", ["-x", "x" * 65, "a b", "a%00b", "%F0%9F%9A%80", "..%2f"])
def test_a_funnel_name_that_cannot_be_is_refused(client, name):
    answer = client.put(f"/v1/funnels/{name}", json={"stages": ["a"]})
    assert answer.status_code in (404, 422)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "body",
    [
        b'{"stages": ["a"], "week_start": NaN}',
        b'{"stages": ["a"], "week_start": 1e999}',
        b'{"stages": ["\\ud800"]}',
        b'{"\\ud800": 1}',
        b'{"stages": []}',
        b'{"stages": ["a", "a"]}',
        b'{"stages": ["a"], "due_stage": "b"}',
        b'{"stages": ["a"], "timezone": "Nowhere"}',
        b'{"stages": ["a"], "max_horizon": 57}',
        b'{"stages": ["a"], "surprise": "echo-me"}',
        b'{"stages": "echo-me"}',
        b'{"stages": ["a\\u0000b"]}',
        b"{",
        b"",
        b"\xff",
        b"[" * 100_000,
        b"9" * 100_000,
    ],
)
def test_a_declaration_that_cannot_be_is_a_problem_that_does_not_echo_it(client, body):
    answer = client.put("/v1/funnels/declared", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"][0]["reason"]
    assert "echo-me" not in answer.text
    assert len(answer.content) < 3000
    problem(client.get("/v1/funnels/declared"), 404, "funnel-not-found")


def test_a_declaration_is_kept_and_the_same_again_changes_nothing(client, funnel):
    declaration = {"stages": ["lead", "won"], "exits": ["lost"], "timezone": "Europe/Paris", "gate": "refuse"}
    made = client.put(f"/v1/funnels/{funnel}", json=declaration)
    assert made.status_code == 201
    again = client.put(f"/v1/funnels/{funnel}", json=declaration)
    assert again.status_code == 200
    assert again.json()["declaration"] == made.json()["declaration"]
    assert client.get(f"/v1/funnels/{funnel}").json()["declaration"]["gate"] == "refuse"
    assert funnel in [each["funnel"] for each in client.get("/v1/funnels").json()["funnels"]]


def test_a_declaration_of_megabytes_is_refused(client):
    body = b'{"stages": ["' + b"x" * 2_000_000 + b'"]}'
    problem(client.put("/v1/funnels/big", content=body, headers={"content-type": "application/json"}), 413, "too-large")


def test_a_funnel_uploaded_for_a_part_of_a_country_can_be_read_and_declared_again(client, funnel):
    answer = client.post(f"/v1/funnels/{funnel}/events", content=CSV, params={"country": "DE-BY"}, headers=HEADERS)
    assert answer.status_code == 200, answer.text
    one = client.get(f"/v1/funnels/{funnel}")
    assert one.status_code == 200
    assert one.json()["declaration"]["country"] == "DE-BY"
    assert client.get("/v1/funnels").status_code == 200
    again = client.put(f"/v1/funnels/{funnel}", json=one.json()["declaration"])
    assert again.status_code == 200
    assert again.json()["declaration"] == one.json()["declaration"]


@pytest.mark.parametrize(
    "held",
    [
        Funnel(tuple(f"stage {number}" for number in range(201))),
        Funnel(("lead",), segment_by="x" * 250),
        Funnel(("lead",), country="a country of a wider rule"),
    ],
    ids=["stages", "segment", "country"],
)
def test_what_is_stored_under_wider_limits_can_still_be_read(client, server, funnel, held):
    with Database(server.database_url) as database, database.write() as connection:
        declare_funnel(connection, funnel, held, now=datetime.now(UTC))
    assert client.get(f"/v1/funnels/{funnel}").status_code == 200
    assert funnel in [each["funnel"] for each in client.get("/v1/funnels").json()["funnels"]]


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"country": "XX"}, "country"),
        ({"country": "Bavaria"}, "country"),
        ({"segment_by": "due_on"}, "segment_by"),
        ({"segment_by": "y"}, "segment_by"),
        ({"segment_by": "x" * 201}, "segment_by"),
        ({"timezone": "localtime"}, "timezone"),
        ({"timezone": "posixrules"}, "timezone"),
        ({"stages": [f"s{number}" for number in range(201)]}, "stages"),
    ],
    ids=str,
)
def test_upload_and_declaration_refuse_the_same(client, settings, field):
    refused(client.put("/v1/funnels/refused", json={"stages": ["lead"], **settings}), field)
    query = {name: ",".join(value) if isinstance(value, list) else value for name, value in settings.items()}
    rows = CSV if field != "segment_by" else "".join(
        f"{line},{settings['segment_by'] if place == 0 else '2024-02-01'}\n" for place, line in enumerate(CSV.split())
    )  # fmt: skip
    refused(client.post("/v1/funnels/refused/events", content=rows, params=query, headers=HEADERS), field)
    assert client.get("/v1/funnels/refused").status_code == 404


def test_a_part_of_a_country_can_be_declared(client, funnel):
    declaration = {"stages": ["lead", "won"], "country": "DE-BY", "segment_by": "x" * 200}
    assert client.put(f"/v1/funnels/{funnel}", json=declaration).status_code == 201
    assert client.put(f"/v1/funnels/{funnel}", json=declaration).status_code == 200


def test_a_declaration_may_not_move_stored_times_without_a_zone(client, funnel):
    client.post(f"/v1/funnels/{funnel}/events", content=NAIVE, params={"timezone": "Europe/Paris"}, headers=HEADERS)
    declaration = client.get(f"/v1/funnels/{funnel}").json()["declaration"]
    refused(client.put(f"/v1/funnels/{funnel}", json={**declaration, "timezone": "Asia/Tokyo"}), "timezone")
    assert client.put(f"/v1/funnels/{funnel}", json={**declaration, "gate": "refuse"}).status_code == 200
    assert client.get(f"/v1/funnels/{funnel}").json()["declaration"]["timezone"] == "Europe/Paris"


def test_a_declaration_may_change_the_zone_of_times_that_have_one(client, funnel):
    client.post(f"/v1/funnels/{funnel}/events", content=CSV, headers=HEADERS)
    declaration = client.get(f"/v1/funnels/{funnel}").json()["declaration"]
    changed = client.put(f"/v1/funnels/{funnel}", json={**declaration, "timezone": "Asia/Tokyo"})
    assert changed.status_code == 200


def test_a_schedule_is_declared_shown_with_what_is_due_next_and_taken_back(client, funnel):
    declaration = {"stages": ["lead"], "timezone": "Asia/Tokyo", "schedule": "0 5 * * *"}
    made = client.put(f"/v1/funnels/{funnel}", json=declaration).json()
    assert made["declaration"]["schedule"] == "0 5 * * *"
    due = datetime.fromisoformat(made["next_due_at"])
    assert (due.hour, due.minute, due > datetime.now(UTC)) == (20, 0, True)
    again = client.put(f"/v1/funnels/{funnel}", json=made["declaration"]).json()
    assert (again["declaration"], again["next_due_at"]) == (made["declaration"], made["next_due_at"])
    gone = client.put(f"/v1/funnels/{funnel}", json={"stages": ["lead"]}).json()
    assert (gone["declaration"]["schedule"], gone["next_due_at"]) == (None, None)


@pytest.mark.parametrize("schedule", ["61 * * * *", "@daily", "0 0 31 2 *", "", "0 5 * *\n", "x" * 101])
def test_what_is_no_schedule_is_refused_with_the_field(client, funnel, schedule):
    refused(client.put(f"/v1/funnels/{funnel}", json={"stages": ["lead"], "schedule": schedule}), "schedule")
    assert client.get(f"/v1/funnels/{funnel}").status_code == 404
