"""The Python client against servers that are away, overloaded, elsewhere, or no nearcast at all."""

import io
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pandas as pd
import pytest

from service.client import (
    Client,
    ClientError,
    ConflictError,
    NoAnswerError,
    RefusedError,
    ServerError,
    UnavailableError,
)
from service.client import transport as sending

pytestmark = pytest.mark.one_engine


@contextmanager
def answering(*answers):
    """A server on loopback that gives these (status, headers, body) in turn, the last one again and again."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            seen.append(self.rfile.read(int(self.headers.get("content-length", 0))))
            status, headers, body = answers[min(len(seen), len(answers)) - 1]
            self.send_response(status)
            for name, value in {"content-length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST  # noqa: N815 - named by http.server

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", seen
        server.shutdown()


AWAY = (503, {"retry-after": "0"}, b'{"type": "urn:nearcast:problem:store-busy", "title": "busy", "detail": "wait"}')
DONE = (200, {}, b'{"rows": 1}')


@pytest.fixture
def impatient(monkeypatch):
    """No waiting between attempts."""
    monkeypatch.setattr(sending, "FIRST_WAIT", 0.0)


def test_a_503_is_tried_again_with_the_whole_body(impatient, sales_events, tmp_path):
    events = pd.read_csv(io.StringIO(sales_events), parse_dates=["ts"]).head(5)
    path = tmp_path / "a.csv"
    events.to_csv(path, index=False)
    for data in (path, events):
        with answering(AWAY, AWAY, DONE) as (url, seen), Client(url) as client:
            assert client.ingest("any", data) == {"rows": 1}
        assert len(seen) == 3
        assert seen[0] == seen[1] == seen[2] != b""


def test_a_503_that_stays_is_told_in_the_server_s_words(impatient):
    with answering(AWAY) as (url, seen), Client(url, retries=2) as client:
        with pytest.raises(UnavailableError, match="busy") as caught:
            client.quality("any")
        assert caught.value.slug == "store-busy"
    assert len(seen) == 3


@pytest.mark.parametrize(
    ("status", "kind"), [(500, ServerError), (502, ServerError), (429, RefusedError), (409, ConflictError)]
)
def test_nothing_else_is_tried_again_and_what_is_no_problem_document_is_still_told(status, kind):
    with answering((status, {}, b"<html>proxy</html>")) as (url, seen), Client(url) as client:
        with pytest.raises(kind, match="<html>proxy"):
            client.quality("any")
        assert len(seen) == 1


def test_a_redirect_is_not_followed_with_data():
    with answering((307, {"location": "/elsewhere"}, b"")) as (url, seen), Client(url) as client:
        with pytest.raises(ClientError, match="leads elsewhere"):
            client.retrain("any")
        assert len(seen) == 1


def test_nobody_there_is_no_answer():
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as closed:
        url = f"http://127.0.0.1:{closed.server_port}"
    with Client(url) as client, pytest.raises(NoAnswerError, match=url):
        client.funnels()


def test_waiting_heeds_the_server_and_is_never_without_end():
    assert 5 <= sending.wait_before(0, asked="5") <= 5 + sending.FIRST_WAIT
    assert sending.wait_before(0, asked="4000") == sending.LONGEST_WAIT
    waits = {sending.wait_before(3, asked=None) for _ in range(50)}
    assert len(waits) > 40
    assert 0 <= min(waits) < max(waits) <= 8 * sending.FIRST_WAIT
