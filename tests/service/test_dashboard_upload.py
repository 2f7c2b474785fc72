"""The pages of an upload over a real server: seen before it is stored, stored when confirmed, and nothing half-done."""

from __future__ import annotations

import io
import re
import time

import pytest

from service.dashboard.rendering import number
from service.waiting import MOST_WAITING, UploadGoneError, WaitingUpload, WaitingUploads

SIGNED = [f"2026-11-{1 + place % 20:02d}" if place % 3 == 0 else "" for place in range(60)]
WIDE = "lead id,created_at,signed on,region\n" + "".join(
    f"L{place},2026-10-{1 + place % 28:02d},{signed},{('north', 'south')[place % 2]}\n"
    for place, signed in enumerate(SIGNED)
)


def looked_at(client, funnel, text, *, kind="events", name="export.csv"):
    """The address of the page that shows what was found."""
    answer = client.post("/upload", data={"funnel": funnel, "kind": kind}, files={"file": (name, text, "text/csv")})
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def roles_of(text):
    """What each column is read as."""
    selects = re.findall(r'<select name="role" aria-label="([^"]*) is">(.*?)</select>', text, re.DOTALL)
    return {name: (re.findall(r'value="(\w+)" selected', options) or [""])[0] for name, options in selects}


def test_a_file_is_seen_before_it_is_stored_and_stored_when_confirmed(client, sales_events, wait):
    page = looked_at(client, "seen", sales_events)
    text = client.get(page).text
    rows = sales_events.count("\n") - 1
    assert f"<strong>{number(rows)} new</strong>" in text
    assert re.findall(r"<li>(\w+) <span", text)[:3] == ["lead", "offer", "won"]
    for said in ("lost", "north", "south", "UTC", "2024-01-01"):
        assert said in text
    assert client.get("/v1/funnels/seen").status_code == 404
    for _ in range(2):  # an impatient person clicks twice
        assert client.post(f"{page}/confirm").headers["location"] == page
    assert "Training" in client.get(page).text
    wait(lambda: "The forecast is ready" in client.get(page).text, seconds=300, what="the retrain")
    quality = client.get("/v1/funnels/seen/quality").json()
    assert [upload["inserted"] for upload in quality["uploads"]] == [rows]
    assert client.get("/v1/funnels/seen/forecast").status_code == 200
    again = client.get(looked_at(client, "seen", sales_events)).text
    assert f"<strong>0 new</strong>, 0 revised, {number(rows)} unchanged" in again


def test_a_refused_file_is_shown_with_its_lines_and_leaves_nothing(client, sales):
    before = client.get(f"/v1/funnels/{sales}/quality").json()["uploads"]
    page = looked_at(
        client,
        sales,
        "entity_id,stage,ts,segment\na,lead,2026-01-01,north\nb,lead,someday,north\n,lead,2026-01-02,south\n",
    )
    answer = client.get(page)
    assert re.findall(r'<td class="num">(\d+)</td><th scope="row">(\w+)', answer.text) == [
        ("3", "ts"),
        ("4", "entity_id"),
    ]
    assert "/confirm" not in answer.text
    assert client.post(f"{page}/confirm").status_code == 422
    assert client.get(f"/v1/funnels/{sales}/quality").json()["uploads"] == before
    runs = client.get("/runs", params={"funnel": sales}).text
    assert "line 3" in runs.casefold()


def test_a_table_with_one_row_per_entity_and_its_own_words_is_understood(client):
    text = client.get(looked_at(client, "crm", WIDE)).text
    assert "Check it below" in text
    assert re.findall(r"<li>(\w+) <span", text)[:2] == ["created", "signed"]
    assert roles_of(text) == {"lead id": "entity_id", "created_at": "date", "signed on": "date", "region": "segment"}
    assert "<strong>80 new</strong>" in text


def test_the_same_file_can_be_read_otherwise(client):
    page = looked_at(client, "otherwise", WIDE)
    form = {
        "role": ["entity_id", "date", "date", ""],
        "named": ["", "asked", "agreed", ""],
        "timezone": "Europe/Amsterdam",
    }
    assert client.post(f"{page}/read", data=form).status_code == 303
    text = client.get(page).text
    assert re.findall(r"<li>(\w+) <span", text)[:2] == ["asked", "agreed"]
    assert "Europe/Amsterdam" in text
    assert "none: only the total" in text
    assert client.post(f"{page}/read", data=form | {"timezone": "Mars"}).status_code == 303
    refused = client.get(page).text
    assert "Mars" in refused
    assert "/confirm" not in refused
    twice = client.post(f"{page}/read", data=form | {"role": ["entity_id", "entity_id", "date", ""]})
    assert twice.status_code == 422
    assert "both read as" in twice.text


def test_counts_are_looked_at_as_counts(client):
    rows = "".join(f"2026-10-{day:02d},visit,{100 + day}\n" for day in range(1, 29))
    text = client.get(looked_at(client, "visits", "date,stage,visits\n" + rows, kind="counts")).text
    assert "<strong>28 new</strong>" in text
    assert roles_of(text) == {"date": "ds", "stage": "stage", "visits": "y"}


def test_a_discarded_upload_is_gone(client, sales_events):
    page = looked_at(client, "discarded", sales_events)
    assert client.post(f"{page}/discard").headers["location"] == "/upload"
    answer = client.get(page)
    assert answer.status_code == 404
    assert "choose the file again" in answer.text
    assert client.post(f"{page}/confirm").status_code == 404
    assert client.get("/v1/funnels/discarded").status_code == 404


@pytest.mark.parametrize("action", ["", "/read", "/confirm", "/discard"])
def test_forms_of_another_site_do_nothing(client, sales_events, action):
    page = looked_at(client, "foreign", sales_events)
    answer = client.post(f"{page}{action}" if action else "/upload", headers={"origin": "https://elsewhere.example"})
    assert answer.status_code == 403
    assert client.get(page).status_code == 200
    assert client.get("/v1/funnels/foreign").status_code == 404


@pytest.mark.parametrize(
    ("request_of", "status", "said"),
    [
        ({"data": {"funnel": "x"}, "files": {"other": ("", "")}}, 422, "no file was chosen"),
        ({"data": {"funnel": "a b"}, "files": {"file": ("a.csv", "x")}}, 422, "a b"),
        (
            {"data": {"funnel": "x", "kind": "wishes"}, "files": {"file": ("a.csv", "x")}},
            422,
            "neither events nor counts",
        ),
        ({"content": b"{}", "headers": {"content-type": "application/json"}}, 415, "send the form"),
        ({"content": b"--", "headers": {"content-type": "multipart/form-data"}}, 400, "cannot be read"),
        ({"data": {"funnel": "x"}, "files": {"file": ("a.csv", "x" * 21_000_000)}}, 413, "may have"),
    ],
)
def test_what_is_no_upload_is_a_page_that_says_why(client, request_of, status, said):
    answer = client.post("/upload", **request_of)
    assert answer.status_code == status
    assert said in answer.text
    assert answer.headers["content-type"].startswith("text/html")


def waiting(size=1):
    return WaitingUpload("f", "events", "a.csv", io.BytesIO(b"x"), size)


def test_waiting_uploads_are_few_and_small_together():
    uploads = WaitingUploads(most_bytes=100)
    tokens = [uploads.add(waiting()) for _ in range(MOST_WAITING + 2)]
    kept = []
    for token in tokens:
        try:
            kept.append(uploads.find(token))
        except UploadGoneError:
            continue
    assert len(kept) == MOST_WAITING
    large = uploads.add(waiting(size=99))
    assert uploads.find(large).size == 99
    assert [upload.file.closed for upload in kept] == [True] * (MOST_WAITING - 1) + [False]
    uploads.close()
    assert all(upload.file.closed for upload in kept)


def test_a_waiting_upload_is_forgotten_after_a_while():
    uploads = WaitingUploads(most_bytes=100, patience=0.05)
    upload = waiting()
    token = uploads.add(upload)
    assert uploads.find(token) is upload
    end = time.monotonic() + 10
    while not upload.file.closed and time.monotonic() < end:
        time.sleep(0.01)
    with pytest.raises(UploadGoneError):
        uploads.find(token)
