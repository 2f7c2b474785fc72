"""Sentences about a number of things."""

from __future__ import annotations

from models.wording import worded


def test_one_thing_is_spoken_of_as_one_and_names_are_taken_as_they_are():
    text = "{count} [row of {stage} was|rows of {stage} were] late"
    assert worded(text, 1, stage="[a|b] {count}") == "1 row of [a|b] {count} was late"
    assert worded(text, 2, stage="won") == "2 rows of won were late"
    assert worded("{count} [entity has|entities have] none", 0) == "0 entities have none"
