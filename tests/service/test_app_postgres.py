"""The same server on PostgreSQL: from upload to forecast, and the same figures as on SQLite."""

import pytest

HEADERS = {"content-type": "text/csv", "idempotency-key": "first"}


@pytest.mark.slow
@pytest.mark.one_engine
def test_postgresql_serves_what_sqlite_serves(
    start_server, empty_postgres_url, client, sales, sales_events, retrain_over_http, tmp_path
):
    on_sqlite = client.get(f"/v1/funnels/{sales}/forecast").json()
    with (
        start_server(tmp_path, database_url=empty_postgres_url, workers="inline") as server,
        server.client() as own,
    ):
        address = f"/v1/funnels/{sales}"
        first = own.post(f"{address}/events", content=sales_events, headers=HEADERS)
        assert first.status_code == 200, first.text
        replayed = own.post(f"{address}/events", content=sales_events, headers=HEADERS)
        assert replayed.json() == first.json()
        assert own.post(f"{address}/events", content="x", headers=HEADERS).status_code == 422
        assert retrain_over_http(own, sales)["status"] == "succeeded"
        document = own.get(f"{address}/forecast").json()
        assert document["forecasts"] == on_sqlite["forecasts"]
        assert document["cutoff"] == on_sqlite["cutoff"]
        assert own.get(f"{address}/versions").json()["versions"][0]["active"] is True
        assert own.put("/v1/funnels/odd", json={"stages": ["NA", "🚀", "عميل"]}).status_code == 201
        assert own.get("/v1/funnels/odd").json()["declaration"]["stages"] == ["NA", "🚀", "عميل"]
