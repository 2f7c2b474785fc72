"""Declared days from calendars: what they say, what cannot be, and that they replace those declared before."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest
from typer.testing import CliRunner

from models.errors import FunnelError, InputError
from models.funnel import DeclaredDay, Funnel
from service.cli import make_cli
from service.ingest.days import days_from_bytes
from service.ingest.declaring import declare_days
from service.store.database import Database
from service.store.errors import FunnelNotFoundError
from service.store.funnels import declare_funnel, get_funnel

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
FUNNEL = Funnel(stages=("lead", "won"), timezone="America/New_York")


def calendar(*events: str) -> bytes:
    bodies = [f"BEGIN:VEVENT\r\n{event.strip()}\r\nEND:VEVENT" for event in events]
    return "\r\n".join(["BEGIN:VCALENDAR", "VERSION:2.0", *bodies, "END:VCALENDAR", ""]).encode()


def read(*events: str) -> tuple[DeclaredDay, ...]:
    return days_from_bytes(calendar(*events), funnel=FUNNEL)


@pytest.mark.parametrize(
    ("event", "start", "end"),
    [
        ("DTSTART;VALUE=DATE:20261127", 27, 27),
        ("DTSTART;VALUE=DATE:20261127\r\nDTEND;VALUE=DATE:20261130", 27, 29),  # the end of a date is exclusive
        ("DTSTART;VALUE=DATE:20261101\r\nDURATION:P2W", 1, 14),
        ("DTSTART:20261128T030000Z\r\nDTEND:20261128T040000Z", 27, 27),  # the evening before, in New York
        ("DTSTART;TZID=Europe/Berlin:20261128T120000\r\nDURATION:PT36H", 28, 29),
        ("DTSTART;TZID=Office:20261128T120000", 28, 28),
        ("DTSTART:20261128T000000\r\nDTEND:20261129T000000", 28, 28),
    ],
)
def test_an_event_is_declared_on_the_days_it_covers_in_the_funnel_s_zone(event, start, end):
    (day,) = read(event)
    assert (day.start, day.end) == (date(2026, 11, start), date(2026, 11, end))


def test_names_are_unfolded_and_unescaped_and_stages_may_be_told():
    event = "SUMMARY:Black Friday\\, all\r\n  channels\r\nDTSTART:20261127\r\nX-NEARCAST-STAGES:lead, won"
    (day,) = read(event + "\r\nX-NEARCAST-SEGMENTS:smb")
    assert day == DeclaredDay(
        "Black Friday, all channels", date(2026, 11, 27), date(2026, 11, 27), ("lead", "won"), ("smb",)
    )


def test_days_come_in_their_order_without_those_that_were_cancelled_or_belong_to_an_alarm():
    alarm = "BEGIN:VALARM\r\nSUMMARY:wake\r\nEND:VALARM\r\nSUMMARY:second\r\nDTSTART:20261202"
    days = read(alarm, "SUMMARY:off\r\nSTATUS:CANCELLED\r\nDTSTART:20261110", "SUMMARY:first\r\nDTSTART:20261201")
    assert [day.name for day in days] == ["first", "second"]


@pytest.mark.parametrize(
    ("event", "line", "said"),
    [
        ("DTSTART:20261127\r\nRRULE:FREQ=YEARLY", 3, "repeats"),
        ("SUMMARY:sometime", 3, "without a start"),
        ("DTSTART:tomorrow", 3, "neither a day nor an instant"),
        ("DTSTART:20261399", 3, "neither a day nor an instant"),
        ("DTSTART:20261127\r\nDURATION:long", 3, "no duration"),
        ("DTSTART:20261127\r\nDURATION:P9999999999D", 3, "before the year 1 or after 9999"),
        ("DTSTART:20261127\r\nDTEND:20261126", 3, "ends before it starts"),
        ("DTSTART:20261127T090000Z\r\nDTEND:20261127T085959Z", 3, "ends before it starts"),
        ("DTSTART:99991231", 3, "before the year 1 or after 9999"),
        ("DTSTART:00010101T000000Z", 3, "before the year 1 or after 9999"),
    ],
)
def test_an_event_that_cannot_be_declared_is_refused_with_its_line(event, line, said):
    with pytest.raises(InputError, match=said) as refused:
        read(event)
    assert refused.value.problems[0].line == line


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"name,start\n", InputError),
        (b"\xff\xfe", InputError),
        (b"[1]", InputError),
        (b'{"days": []}', InputError),
        (b"[", InputError),
        (b'[{"name": "x"}]', FunnelError),
        (b'[{"name": "x", "start": "2026-11-02", "stage": "won"}]', InputError),
        (b'[{"name": "x", "start": "2026-11-02", "end": "2026-11-01"}]', FunnelError),
        (b'[{"name": "x", "start": "2026-11-02", "stages": ["lad"]}]', FunnelError),
        (b'[{"name": "", "start": "2026-11-02"}]', FunnelError),
        (b'[{"name": "  ", "start": "2026-11-02"}]', FunnelError),
        (b'[{"name": "a\\u0000", "start": "2026-11-02"}]', FunnelError),
        (b'[{"name": 2026, "start": "2026-11-02"}]', FunnelError),
        (b'[{"name": "x", "start": "2026-11-02", "stages": [["won"]]}]', FunnelError),
        (b'[{"name": "x", "start": "2026-11-02", "segments": [" "]}]', FunnelError),
        (json.dumps([{"name": "x", "start": "2026-11-02"}] * 1001).encode(), FunnelError),
    ],
)
def test_what_is_no_calendar_or_cannot_be_declared_is_refused(content, error):
    with pytest.raises(error):
        days_from_bytes(content, funnel=FUNNEL)


def test_an_unknown_key_of_a_day_is_named_with_its_place():
    days = [{"name": "x", "start": "2026-11-02"}, {"name": "y", "start": "2026-11-03", "stage": "won"}]
    with pytest.raises(InputError, match="day 2 has 'stage', which is unknown") as refused:
        days_from_bytes(json.dumps(days).encode(), funnel=FUNNEL)
    assert refused.value.problems[0].remedy == "a day has name, start, end, stages, segments"


def test_a_name_in_the_place_of_a_list_is_told_as_no_list():
    content = json.dumps([{"name": "x", "start": "2026-11-02", "stages": "won"}]).encode()
    with pytest.raises(FunnelError, match="stages of 'x' of 2026-11-02 is not a list of names"):
        days_from_bytes(content, funnel=FUNNEL)


def test_an_event_that_ends_when_it_starts_is_one_day():
    (day,) = read("DTSTART:20261127\r\nDTEND:20261127")
    assert (day.start, day.end) == (date(2026, 11, 27), date(2026, 11, 27))


def test_days_take_the_place_of_those_declared_and_leave_the_rest_of_the_funnel(database):
    with database.write() as connection:
        declare_funnel(connection, "sales", FUNNEL, now=NOW, inferred=True)
    declare_days(database, "sales", calendar("SUMMARY:a\r\nDTSTART:20261127"), now=NOW)
    content = json.dumps({"declared_days": [{"name": "b", "start": "2026-12-01", "end": "2026-12-03"}]}).encode()
    record = declare_days(database, "sales", content, now=NOW)
    assert [day.name for day in record.funnel.declared_days] == ["b"]
    assert (record.inferred, record.funnel.timezone) == (True, "America/New_York")
    with pytest.raises(FunnelNotFoundError):
        declare_days(database, "none", content, now=NOW)


def test_the_command_declares_the_days_of_a_file(sqlite_url, tmp_path, monkeypatch):
    monkeypatch.setenv("NEARCAST_DATABASE_URL", sqlite_url)
    with Database(sqlite_url) as database:
        database.migrate()
        with database.write() as connection:
            declare_funnel(connection, "sales", FUNNEL, now=NOW)
    file = tmp_path / "campaigns.ics"
    file.write_bytes(calendar("SUMMARY:launch\r\nDTSTART:20261127\r\nDTEND:20261129"))
    done = CliRunner().invoke(make_cli(["days"]), ["days", str(file), "--funnel", "sales"])
    assert done.exit_code == 0, done.output
    assert "2026-11-27 to 2026-11-28  launch" in done.output
    assert "the next retrain tries them on past days and uses them unless they forecast worse" in done.output
    with Database(sqlite_url) as database, database.read() as connection:
        assert [day.name for day in get_funnel(connection, "sales").funnel.declared_days] == ["launch"]


def test_the_route_declares_the_days_of_a_body(client):
    client.put("/v1/funnels/campaigns", json={"stages": ["lead", "won"]})

    def put(content: bytes, kind: str) -> Any:
        return client.put("/v1/funnels/campaigns/days", content=content, headers={"content-type": kind})

    answer = put(calendar("SUMMARY:launch\r\nDTSTART:20261127"), "text/calendar; charset=utf-8")
    assert answer.status_code == 200, answer.text
    (day,) = answer.json()["declaration"]["declared_days"]
    assert (day["name"], day["start"], day["end"]) == ("launch", "2026-11-27", "2026-11-27")
    assert put(b"[]", "application/json").json()["declaration"]["declared_days"] == []
    assert put(b"name", "text/csv").status_code == 415
    refused = put(calendar("DTSTART:20261127\r\nRRULE:FREQ=DAILY"), "text/calendar")
    assert (refused.status_code, refused.json()["errors"][0]["line"]) == (422, 3)
    assert client.put("/v1/funnels/nobody/days", json=[]).status_code == 404


@pytest.mark.parametrize(
    ("day", "said"),
    [
        ({"name": "x", "stages": ["lad"]}, "'x' of 2026-11-02 is about 'lad'"),
        ({"name": "  "}, "'  ' of 2026-11-02 is empty"),
    ],
)
def test_a_day_that_cannot_be_is_refused_by_both_routes_alike(client, day, said):
    declared = {"stages": ["lead", "won"]}
    days = [day | {"start": "2026-11-02"}]
    client.put("/v1/funnels/alike", json=declared)
    for answer in (
        client.put("/v1/funnels/alike", json=declared | {"declared_days": days}),
        client.put("/v1/funnels/alike/days", json=days),
    ):
        assert answer.status_code == 422, answer.text
        (place,) = answer.json()["errors"]
        assert place["field"] == "declared_days"
        assert place["reason"].startswith(said)


def test_a_day_without_an_end_is_one_day_by_both_routes(client):
    declared = {"stages": ["lead", "won"]}
    days = [{"name": "launch", "start": "2026-11-27", "stages": ["won"]}]
    whole = client.put("/v1/funnels/one-day", json=declared | {"declared_days": days})
    only = client.put("/v1/funnels/one-day/days", json=days)
    assert whole.json()["declaration"] == only.json()["declaration"]
    assert whole.json()["declaration"]["declared_days"][0]["end"] == "2026-11-27"
