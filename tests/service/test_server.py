"""Deadlines of the server, over real sockets on loopback."""

import asyncio
import socket
import threading
import time
from contextlib import contextmanager, suppress

import pytest
import uvicorn

from service.server import Deadlines, make_protocol

SHORT = Deadlines(header_seconds=0.4, body_seconds=0.4, body_rate=1000.0, send_seconds=0.4)


class Recorder:
    """An ASGI app that reads the whole body, remembers what happened, and answers with `answer`."""

    def __init__(self, answer=b"ok", delay=0.0):
        self.answer, self.delay, self.bodies, self.disconnects = answer, delay, [], 0

    async def __call__(self, scope, receive, send):
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.disconnects += 1
                return
            body += message["body"]
            await asyncio.sleep(self.delay)
            if not message.get("more_body"):
                break
        self.bodies.append(body)
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(self.answer))]}
        )
        await send({"type": "http.response.body", "body": self.answer})


@contextmanager
def served(app, *, keep_alive=5):
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, http=make_protocol(SHORT), ws="none", lifespan="off", log_config=None, timeout_keep_alive=keep_alive
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield listener.getsockname()
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listener.close()
    assert not thread.is_alive()


def read_to_end(connection, *, seconds=5.0):
    connection.settimeout(seconds)
    received = b""
    while chunk := connection.recv(65536):
        received += chunk
    return received


def read_ok(connection):
    """One whole answer of the Recorder; the connection stays open."""
    received = b""
    while not received.endswith(b"\r\n\r\nok"):
        received += connection.recv(65536)
    assert received.startswith(b"HTTP/1.1 200 ")


def test_a_silent_connection_is_closed_with_408():
    with served(Recorder()) as address, socket.create_connection(address) as connection:
        answer = read_to_end(connection)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in answer
    assert b"urn:nearcast:problem:request-timeout" in answer


def test_headers_that_drip_in_do_not_hold_a_connection():
    with served(Recorder()) as address, socket.create_connection(address) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n")
        started = time.monotonic()
        with pytest.raises(OSError):  # noqa: PT012
            while time.monotonic() - started < 5:
                connection.sendall(b"a: b\r\n")
                time.sleep(0.05)
        assert time.monotonic() - started < 3


def test_two_hundred_slow_loris_connections_are_all_closed():
    with served(Recorder()) as address:
        connections = [socket.create_connection(address) for _ in range(200)]
        for connection in connections:
            connection.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-")
        answers = [read_to_end(connection) for connection in connections]
        for connection in connections:
            connection.close()
    assert all(answer.startswith(b"HTTP/1.1 408 ") for answer in answers)


def test_a_body_that_stalls_is_refused_and_the_app_hears_of_it():
    app = Recorder()
    with served(app) as address, socket.create_connection(address) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nabc")
        answer = read_to_end(connection)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert app.disconnects == 1


def test_a_body_of_a_byte_now_and_then_is_not_progress():
    with served(Recorder()) as address, socket.create_connection(address) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n")
        started = time.monotonic()
        with pytest.raises(OSError):  # noqa: PT012
            while time.monotonic() - started < 5:
                connection.sendall(b"a")
                time.sleep(0.02)
        assert time.monotonic() - started < 3


def test_a_slow_but_steady_body_may_take_longer_than_the_deadline():
    app = Recorder()
    with served(app) as address, socket.create_connection(address) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 5000\r\n\r\n")
        for _ in range(10):
            connection.sendall(b"x" * 500)
            time.sleep(0.1)
        answer = read_to_end(connection)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert app.bodies == [b"x" * 5000]


def test_a_server_slow_to_read_does_not_count_against_the_client():
    app = Recorder(delay=0.6)  # longer than a body may pause
    size = 400_000
    with served(app) as address, socket.create_connection(address) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % size)
        sender = threading.Thread(target=connection.sendall, args=(b"x" * size,))
        sender.start()
        answer = read_to_end(connection, seconds=30)
        sender.join()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert len(app.bodies[0]) == size


def test_requests_on_one_connection_each_get_their_own_time():
    with served(Recorder()) as address, socket.create_connection(address) as connection:
        for _ in range(3):
            connection.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            read_ok(connection)
            time.sleep(0.3)
        connection.sendall(b"GET / HTTP/1.1\r\nho")
        assert read_to_end(connection).startswith(b"HTTP/1.1 408 ")


def test_an_idle_connection_is_kept_for_the_keep_alive_time_only():
    with served(Recorder(), keep_alive=1) as address, socket.create_connection(address) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        read_ok(connection)
        started = time.monotonic()
        assert read_to_end(connection) == b""
        assert 0.5 < time.monotonic() - started < 3


def test_an_answer_that_nobody_reads_is_given_up():
    app = Recorder(answer=b"x" * 50_000_000)
    with served(app) as address, socket.create_connection(address) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        time.sleep(1.5)
        received = 0
        with suppress(ConnectionResetError):
            while chunk := connection.recv(1_000_000):
                received += len(chunk)
    assert 0 < received < 50_000_000


def test_what_is_not_http_gets_a_problem_document():
    with served(Recorder()) as address, socket.create_connection(address) as connection:
        connection.sendall(b"\x16\x03\x01 nonsense\r\n\r\n")
        answer = read_to_end(connection)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in answer
