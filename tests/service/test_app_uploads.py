"""Uploads over HTTP: formats, column mapping, wide tables, idempotency, limits, and input that is refused."""

import gzip
import threading
import time

import httpx
import orjson
import pytest

from tests.service.answers import problem

CSV = "entity_id,stage,ts\na,lead,2024-01-01T10:00Z\na,won,2024-01-03T10:00Z\nb,lead,2024-01-02T10:00Z\n"
ROWS = [
    {"entity_id": "a", "stage": "lead", "ts": "2024-01-01T10:00Z"},
    {"entity_id": "a", "stage": "won", "ts": "2024-01-03T10:00Z"},
    {"entity_id": "b", "stage": "lead", "ts": "2024-01-02T10:00Z"},
]


@pytest.fixture
def funnel(request):
    """A funnel name of the test's own."""
    return "".join(letter if letter.isalnum() else "-" for letter in request.node.name)[-60:].strip("-")


@pytest.fixture
def upload(client, funnel):
    """Uploads events; keywords are the query."""

    def send(content, kind="text/csv", path="events", headers=None, **query):
        address = f"/v1/funnels/{funnel}/{path}"
        return client.post(address, content=content, params=query, headers={"content-type": kind, **(headers or {})})

    return send


def parquet_bytes():
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("text/csv; charset=utf-8", CSV.encode()),
        ("text/csv", gzip.compress(CSV.encode(), mtime=0)),
        ("application/gzip", gzip.compress(CSV.encode(), mtime=0)),
        ("application/x-ndjson", b"\n".join(orjson.dumps(row) for row in ROWS)),
        ("application/json", orjson.dumps(ROWS)),
        ("application/vnd.apache.parquet", parquet_bytes()),
    ],
    ids=["csv", "csv-gz", "gzip", "ndjson", "json", "parquet"],
)
def test_each_format_is_taken_in(upload, client, funnel, kind, content):
    answer = upload(content, kind)
    assert answer.status_code == 200, answer.text
    assert answer.json()["inserted"] == 3
    assert answer.json()["inferred"]["stages"] == ["lead", "won"]
    assert client.get(f"/v1/funnels/{funnel}").json()["inferred"] is True


def test_the_same_rows_again_change_nothing(upload):
    upload(CSV)
    again = upload(CSV).json()
    assert (again["inserted"], again["revised"], again["unchanged"]) == (0, 0, 3)


def test_columns_are_mapped_and_settings_said_in_the_query(upload, client, funnel):
    content = "lead_id;phase;at;region\na;lead;2024-01-01 10:00;north\na;won;2024-01-05 10:00;north\n".replace(";", ",")
    answer = upload(
        content,
        map="entity_id=lead_id,stage=phase,ts=at",
        segment_by="region",
        timezone="Europe/Amsterdam",
        stages="lead,offer,won",
        exits="lost",
        due_stage="won",
    )
    assert answer.status_code == 200, answer.text
    declaration = client.get(f"/v1/funnels/{funnel}").json()["declaration"]
    assert declaration["stages"] == ["lead", "offer", "won"]
    assert declaration["exits"] == ["lost"]
    assert declaration["segment_by"] == "region"
    assert declaration["due_stage"] == "won"
    assert declaration["timezone"] == "Europe/Amsterdam"


def test_a_wide_table_is_taken_in_and_updated_when_it_is_sent_again(upload):
    wide = "id,created_at,closed_on\na,2024-01-01,2024-01-09\nb,2024-01-02,\n"
    query = {"wide": "lead=created_at,won=closed_on", "map": "entity_id=id", "timezone": "UTC"}
    assert upload(wide, **query).json()["inserted"] == 3
    grown = wide.replace("b,2024-01-02,", "b,2024-01-02,2024-01-10").replace("2024-01-09", "2024-01-08")
    report = upload(grown, **query).json()
    assert report["inserted"] + report["revised"] >= 2


def test_counts_are_taken_in(upload):
    answer = upload("ds,stage,y\n2024-01-01,visits,10\n2024-01-02,visits,12\n", path="counts", timezone="UTC")
    assert answer.status_code == 200, answer.text
    assert answer.json()["kind"] == "counts"
    assert answer.json()["inserted"] == 2


def test_a_repeated_idempotency_key_replays_the_first_answer(upload):
    first = upload(CSV, headers={"idempotency-key": "k1"})
    again = upload(CSV, headers={"idempotency-key": "k1"})
    assert again.status_code == 200
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers


def test_an_idempotency_key_with_another_body_or_query_is_refused(upload):
    upload(CSV, headers={"idempotency-key": "k2"})
    problem(
        upload(CSV + "c,lead,2024-01-04T10:00Z\n", headers={"idempotency-key": "k2"}), 422, "idempotency-key-reused"
    )
    problem(upload(CSV, headers={"idempotency-key": "k2"}, timezone="UTC"), 422, "idempotency-key-reused")


def test_an_idempotency_key_whose_request_is_going_on_is_a_conflict(client, funnel, server, wait):
    # The store says so: the claim of a request that another server is still answering.
    from datetime import UTC, datetime

    from service.store.database import Database
    from service.store.idempotency import claim_key

    with Database(server.database_url) as database, database.write() as connection:
        claim_key(connection, scope=f"POST /v1/funnels/{funnel}/events", key="k3", now=datetime.now(UTC))
    answer = client.post(
        f"/v1/funnels/{funnel}/events", content=CSV, headers={"content-type": "text/csv", "idempotency-key": "k3"}
    )
    problem(answer, 409, "idempotency-key-in-use")


def test_the_same_key_sent_many_times_at_once_is_answered_once_and_inserts_once(client, funnel, server):
    answers = []
    rows = "".join(f"e{number},lead,2024-01-02T10:00Z\n" for number in range(20_000))

    def send():
        with server.client() as own:
            headers = {"content-type": "text/csv", "idempotency-key": "k4"}
            answers.append(own.post(f"/v1/funnels/{funnel}/events", content=CSV + rows, headers=headers))

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} <= {200, 409}
    answered = [answer.json() for answer in answers if answer.status_code == 200]
    assert answered
    assert all(report == answered[0] for report in answered)
    assert answered[0]["inserted"] == 20_003


def test_a_failed_upload_frees_its_idempotency_key(upload):
    headers = {"idempotency-key": "k5"}
    problem(upload("entity_id,stage,ts\na,lead,never\n", headers=headers), 422, "invalid-input")
    assert upload(CSV, headers=headers).status_code == 200


def test_a_bad_row_is_named_by_line_and_field_and_nothing_is_kept(upload, client, funnel):
    document = problem(upload(CSV + "c,lead,yesterday\n"), 422, "invalid-input")
    (error,) = document["errors"]
    assert (error["line"], error["field"]) == (5, "ts")
    assert error["reason"]
    problem(client.get(f"/v1/funnels/{funnel}"), 404, "funnel-not-found")


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("text/csv", b""),
        ("text/csv", b"entity_id,stage,ts\n\x00,a,2024-01-01\n"),
        ("text/csv", gzip.compress(CSV.encode(), mtime=0)[:-20]),
        ("text/csv", b"entity_id,stage\na,lead\n"),
        ("text/csv", b"entity_id,stage,ts\n" + b"x" * 300 + b",lead,2024-01-01\n"),
        ("application/json", b'[{"entity_id": "\\ud800", "stage": "lead", "ts": "2024-01-01"}]'),
        ("application/json", b'[{"entity_id": "a", "stage": "lead", "ts": "2024-01-01", "value": NaN}]'),
        ("application/json", b"[" * 100_000),
        ("application/json", b'{"entity_id": "a"}'),
        ("application/x-ndjson", b'{"entity_id": "a", "stage": "lead", "ts": "2024-01-01", "value": 1e999}\n'),
        ("application/x-ndjson", b"\xff\xfe\x00"),
        ("application/vnd.apache.parquet", b"PAR1 this is no parquet file PAR1"),
    ],
)
def test_input_that_cannot_be_read_is_a_problem_and_never_an_error_of_ours(upload, kind, content):
    answer = upload(content, kind)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]


@pytest.mark.parametrize("y", ["-1", "1.5", "NaN", "inf", "1e999", "x"])
def test_a_count_that_is_none_is_refused_with_its_line(upload, y):
    document = problem(upload(f"ds,stage,y\n2024-01-01,visits,{y}\n", path="counts"), 422, "invalid-input")
    assert (document["errors"][0]["line"], document["errors"][0]["field"]) == (2, "y")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"map": "entity_id"}, "map"),
        ({"wide": "lead"}, "wide"),
        ({"fresh_until": "soon"}, "fresh_until"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"stages": "lead,lead"}, "stages"),
    ],
)
def test_a_query_that_cannot_be_names_its_parameter(upload, query, field):
    answer = upload(CSV, **query)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["field"] == field


def test_a_content_type_that_is_not_taken_is_refused_with_those_that_are(upload):
    document = problem(upload(CSV, "application/pdf"), 415, "unsupported-media-type")
    assert "text/csv" in document["accepted"]
    problem(upload(CSV, ""), 415, "unsupported-media-type")


def test_a_body_past_the_limit_is_refused_whether_it_says_its_length_or_not(client, funnel):
    address, headers = f"/v1/funnels/{funnel}/events", {"content-type": "text/csv"}
    document = problem(client.post(address, content=b"x" * 20_000_001, headers=headers), 413, "too-large")
    assert document["max_bytes"] == 20_000_000

    def chunks():
        for _ in range(30):
            yield b"x" * 1_000_000

    problem(client.post(address, content=chunks(), headers=headers), 413, "too-large")
    problem(client.get(f"/v1/funnels/{funnel}"), 404, "funnel-not-found")


def test_a_client_that_goes_away_in_the_middle_leaves_nothing_behind(client, server, funnel, wait):
    def chunks():
        yield CSV.encode()
        time.sleep(0.5)  # it has been read by then
        raise ConnectionAbortedError

    headers = {"content-type": "text/csv", "x-request-id": f"gone-{funnel}"}
    with pytest.raises(ConnectionAbortedError), server.client() as own:
        own.post(f"/v1/funnels/{funnel}/events", content=chunks(), headers=headers)
    wait(lambda: f'"gone-{funnel}"' in server.log.read_text(), seconds=10, what="the request's line in the log")
    problem(client.get(f"/v1/funnels/{funnel}"), 404, "funnel-not-found")
    assert client.get("/healthz").status_code == 200


def test_concurrent_uploads_to_several_funnels_are_all_taken_in(server):
    reports: dict[str, httpx.Response] = {}

    def send(name):
        with server.client() as own:
            reports[name] = own.post(f"/v1/funnels/{name}/events", content=CSV, headers={"content-type": "text/csv"})

    threads = [threading.Thread(target=send, args=(f"together{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(answer.status_code == 200 and answer.json()["inserted"] == 3 for answer in reports.values())
    assert len(reports) == 8
