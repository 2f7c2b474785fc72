"""Taking in events and counts: the body goes to a spooled file as it comes, and is read from there in a thread."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import orjson
from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Header, Query, Request, Response

from models.errors import NearcastError
from service.problems import ProblemError, document_from_problem, problem_from_error
from service.routes.bodies import SpooledBody
from service.routes.context import Context, Resources
from service.schemas.common import FunnelName, Responses, problem_responses
from service.schemas.funnels import IngestDocument
from service.store.errors import StoreError
from service.store.idempotency import Answer, claim_key, release_key, settle_key
from service.texts import instant_from_text, names_from_text

if TYPE_CHECKING:
    from service.ingest import Format, IngestOptions

Kind = Literal["events", "counts"]
MAP_HELP = "Our column names to the file's, where they differ: entity_id=lead_id,ts=created_at."
WIDE_HELP = "One row per entity, one date column per stage: lead=created_at,won=closed_on."
KEY_HELP = "Sent again with the same body, the first answer is replayed and nothing is taken in twice."
FORMATS: dict[str, Format] = {
    "text/csv": "csv",
    "application/csv": "csv",
    "application/gzip": "csv",
    "application/x-gzip": "csv",
    "application/x-ndjson": "ndjson",
    "application/ndjson": "ndjson",
    "application/jsonl": "ndjson",
    "application/json": "json",
    "application/vnd.apache.parquet": "parquet",
    "application/x-parquet": "parquet",
}

router = APIRouter(tags=["uploads"])


def text_query(description: str, *, alias: str | None = None) -> Any:
    """A query parameter that is a text of reasonable length."""
    return Query(max_length=20_000, description=description, alias=alias)


@dataclass(frozen=True, slots=True)
class UploadQuery:
    """How to read an upload, as written in the query string."""

    mapping: Annotated[str | None, text_query(MAP_HELP, alias="map")] = None
    wide: Annotated[str | None, text_query(WIDE_HELP)] = None
    stages: Annotated[str | None, text_query("Stages in order, a,b,c; becomes the declaration.")] = None
    exits: Annotated[str | None, text_query("Terminal side exits, x,y; becomes the declaration.")] = None
    segment_by: Annotated[str | None, text_query("Column that holds the segment; empty: none does.")] = None
    due_stage: Annotated[str | None, text_query("Stage that due_on speaks of.")] = None
    timezone: Annotated[str | None, text_query("IANA zone in which times without one are read.")] = None
    country: Annotated[str | None, text_query("Whose public holidays are kept: NL, DE-BY.")] = None
    fresh_until: Annotated[str | None, text_query("Instant up to which the source is complete.")] = None

    def options(self, *, max_bytes: int) -> IngestOptions:
        """The same, understood. Raises InputError naming the parameter."""
        from service.ingest import IngestOptions, pairs_from_text  # noqa: PLC0415 - not needed to start

        return IngestOptions(
            mapping=pairs_from_text(self.mapping, field="map") if self.mapping else {},
            wide=pairs_from_text(self.wide, field="wide") if self.wide else {},
            stages=names_from_text(self.stages),
            exits=names_from_text(self.exits),
            segment_by=self.segment_by,
            due_stage=self.due_stage or None,
            timezone=self.timezone or None,
            country=self.country or None,
            fresh_until=instant_from_text(self.fresh_until, field="fresh_until") if self.fresh_until else None,
            max_bytes=max_bytes,
        )


Options = Annotated[UploadQuery, Depends()]
Key = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=200, description=KEY_HELP)]
BODY = {"requestBody": {"required": True, "content": {kind: {} for kind in FORMATS}}}
RESPONSES: Responses = {200: {"model": IngestDocument}, **problem_responses(400, 404, 409, 413, 415, 422, 503)}


@router.post("/v1/funnels/{funnel}/events", responses=RESPONSES, openapi_extra=BODY)
async def post_events(
    request: Request, funnel: FunnelName, context: Context, query: Options, idempotency_key: Key = None
) -> Response:
    """Take in events: rows of entity_id, stage, ts and, where there are, value, due_on and segment columns."""
    return await post_upload(request, Upload(context, funnel, "events", query, idempotency_key))


@router.post("/v1/funnels/{funnel}/counts", responses=RESPONSES, openapi_extra=BODY)
async def post_counts(
    request: Request, funnel: FunnelName, context: Context, query: Options, idempotency_key: Key = None
) -> Response:
    """Take in counts: rows of ds, stage, y and, where there are, value and segment columns."""
    return await post_upload(request, Upload(context, funnel, "counts", query, idempotency_key))


@dataclass(frozen=True, slots=True)
class Upload:
    """What one upload request asks for."""

    context: Resources
    funnel: str
    kind: Kind
    query: UploadQuery
    key: str | None

    def options(self) -> IngestOptions:
        """How to read it."""
        return self.query.options(max_bytes=self.context.settings.max_expanded_bytes)


async def post_upload(request: Request, upload: Upload) -> Response:
    """Lay the body down, then read it in a thread."""
    settings = upload.context.settings
    data_format = format_of(request)
    await run_sync(upload.options)  # a query that cannot be is refused before the body is taken in
    salt = "\n".join([upload.funnel, upload.kind, data_format, request.url.query])
    with upload.context.bodies.turn(), SpooledBody(limit=settings.max_upload_bytes, salt=salt) as body:
        body.check_size(int(request.headers.get("content-length", 0)))
        await body.fill(request.stream())
        return await run_sync(answer_upload, upload, body, data_format, limiter=upload.context.uploads)


def answer_upload(upload: Upload, body: SpooledBody, data_format: Format) -> Response:
    """Read the body into the store; with an idempotency key, once."""
    if upload.key is None:
        return json_response(take_in(upload, body, data_format))
    database, scope = upload.context.database, f"POST /v1/funnels/{upload.funnel}/{upload.kind}"
    with database.write() as connection:
        known = claim_key(connection, scope=scope, key=upload.key, now=datetime.now(UTC))
    if known is not None:
        known.check_body(body.sha256)
        return json_response(known.response, headers={"idempotency-replayed": "true"})
    try:
        document = take_in(upload, body, data_format)
        with database.write() as connection:
            answer = Answer(body_sha256=body.sha256, status=200, response=document)
            settle_key(connection, scope=scope, key=upload.key, answer=answer)
    except BaseException:
        with suppress(StoreError), database.write() as connection:
            release_key(connection, scope=scope, key=upload.key)
        raise
    return json_response(document)


def take_in(upload: Upload, body: SpooledBody, data_format: Format) -> dict[str, Any]:
    """Ingest, count, and say what became of the rows."""
    from service.ingest import ingest  # noqa: PLC0415 - not needed to start, nor to serve forecasts

    context = upload.context
    try:
        report = ingest(
            context.database, upload.funnel, body.file, kind=upload.kind, format=data_format, options=upload.options()
        )
    except NearcastError as error:
        count_refusal(context, upload.funnel, upload.kind, document_from_problem(problem_from_error(error)))
        raise
    context.metrics.uploaded_rows.labels(upload.kind).inc(report.rows)
    return report.as_json()


def count_refusal(context: Resources, funnel: str, kind: Kind, problem: dict[str, Any]) -> None:
    """Take note of an upload of which nothing is kept."""
    context.metrics.refused_uploads.labels(kind).inc()
    context.refusals.add(funnel, kind, problem)


def format_of(request: Request) -> Format:
    """The format that Content-Type names; 415 for another."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in FORMATS:
        detail = f"say by Content-Type what the body is: {', '.join(FORMATS)}; CSV may be compressed by gzip"
        raise ProblemError(415, "unsupported-media-type", detail, extra={"accepted": list(FORMATS)})
    return FORMATS[kind]


def json_response(document: dict[str, Any], *, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(orjson.dumps(document), media_type="application/json", headers=headers)
