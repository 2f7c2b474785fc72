"""A funnel of five stages and fifty segments: every page is whole, and weighs less than a photograph."""

from __future__ import annotations

import re

import pytest

from benchmarks.dashboard import MOST_BYTES, PAGES, publish_wide


@pytest.fixture(scope="module")
def wide(start_server, tmp_path_factory):
    """A server with such a funnel only."""
    folder = tmp_path_factory.mktemp("wide")
    url = f"sqlite:///{folder / 'store.db'}"
    publish_wide(url, "wide")
    with start_server(folder, database_url=url) as server:
        yield server


@pytest.mark.parametrize(
    "page", [*PAGES, "/stage?horizon=56&segment=segment-07", "/levers?horizon=56&segment=segment-07"]
)
def test_a_page_of_fifty_segments_is_light(wide, page):
    with wide.client() as client:
        answer = client.get(page)
        assert answer.status_code == 200, answer.text
        files = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', answer.text))
        assert len(answer.content) + sum(len(client.get(file).content) for file in files) < MOST_BYTES
        assert "</html>" in answer.text


def test_the_overview_lists_all_segments(wide):
    with wide.client() as client:
        assert len(set(re.findall(r"segment-\d\d", client.get("/").text))) == 50
