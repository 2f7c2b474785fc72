"""What is fetched ahead comes in order and whole, and its source is ended by whoever has had enough."""

import threading

import pytest

from service.retrain.ahead import DEPTH, Ahead


def numbered(count, *, ended, fail=False):
    """Payloads; `ended` is set when the source is."""
    try:
        for number in range(count):
            yield b"%d" % number
        if fail:
            raise OSError("the store went away")
    finally:
        ended.set()


@pytest.fixture
def ended():
    return threading.Event()


def test_payloads_come_whole_and_in_order_however_many_there_are(ended):
    with Ahead(numbered(3 * DEPTH, ended=ended)) as ahead:
        assert list(ahead.payloads()) == [b"%d" % number for number in range(3 * DEPTH)]
    assert ended.is_set()


def test_they_are_fetched_before_they_are_asked_for(ended):
    with Ahead(numbered(DEPTH - 1, ended=ended)) as ahead:
        assert ended.wait(10)
        assert len(list(ahead.payloads())) == DEPTH - 1


def test_what_the_source_raises_is_raised_in_its_place(ended):
    with Ahead(numbered(2, ended=ended, fail=True)) as ahead:
        payloads = ahead.payloads()
        assert [next(payloads), next(payloads)] == [b"0", b"1"]
        with pytest.raises(OSError, match="went away"):
            next(payloads)
    assert ended.is_set()


def test_who_has_had_enough_ends_the_source(ended):
    with Ahead(numbered(3 * DEPTH, ended=ended)) as ahead:
        payloads = ahead.payloads()
        next(payloads)
        payloads.close()
        assert ended.is_set()


def test_a_context_left_before_anything_was_asked_for_ends_the_source(ended):
    with pytest.raises(KeyError), Ahead(numbered(3 * DEPTH, ended=ended)):
        raise KeyError
    assert ended.is_set()
