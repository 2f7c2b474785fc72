"""The pages of an upload: choose a file, see what it is and would do, confirm, and watch the retrain. Plain forms."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, cast

from anyio.to_thread import run_sync
from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.datastructures import FormData, UploadFile

from models.errors import InputError, NearcastError, Problem
from service.dashboard.upload import ROLES, columns_page, fields_of, phases_of, preview_page, reading_from_roles
from service.problems import document_from_problem, problem_from_error
from service.routes.access import check_origin
from service.routes.context import Context, Resources
from service.routes.forms import LARGEST_FORM, form_of, text_of
from service.routes.pages import Page, Text, show
from service.routes.runs import get_one_run, post_retrain
from service.routes.uploads import UploadQuery, count_refusal
from service.store.funnels import check_funnel_name, find_funnel
from service.store.uploads import Kind
from service.waiting import Reading, WaitingUpload

if TYPE_CHECKING:
    from service.ingest import IngestOptions

SAID = ("stages", "exits", "due_stage", "timezone", "country", "fresh_until")
"""Fields of the form that are as in the query string of an upload."""

router = APIRouter(route_class=Page, include_in_schema=False)
Token = Annotated[str, Path(max_length=64)]


@router.get("/upload")
def get_upload(context: Context, funnel: Text = None) -> HTMLResponse:
    """Choose a file."""
    return show("upload.html", context, here="/upload", funnel=funnel, names=sorted(context.served_names()))


@router.post("/upload")
async def post_upload(request: Request, context: Context) -> RedirectResponse:
    """Take the file, look at it, and show what was found; nothing is stored."""
    check_origin(request)
    limit = context.settings.max_upload_bytes
    with context.bodies.turn():
        form = await form_of(request, limit=limit + LARGEST_FORM)
        try:
            upload = waiting_upload(form)
            context.caller.check_funnel(upload.funnel)
        except NearcastError:
            await form.close()
            raise
        token = await run_sync(context.waiting.add, upload)
        await run_sync(first_look, context, token, upload, limiter=context.uploads)
    return RedirectResponse(f"/upload/{token}", status_code=303)


@router.get("/upload/{token}")
def get_waiting(token: Token, context: Context) -> HTMLResponse:
    """What was found in the file, or what became of it."""
    upload = found_upload(context, token)
    served = upload.funnel if context.serving.find(upload.funnel) else None  # else other pages know nothing of it
    values: dict[str, Any] = {"here": "/upload", "funnel": served, "token": token, "upload": upload}
    if upload.report is not None:
        run = get_one_run(upload.run, context) if upload.run is not None else None
        values |= {"run": run, "phases": phases_of(run) if run else [], "seconds": seconds_of(run)}
        return show("taken.html", context, **values)
    values |= {"columns": columns_page(upload), "roles": ROLES[upload.kind], "fields": fields_of(upload)}
    return show("preview.html", context, **values, **(preview_page(upload.found) if upload.found else {}))


def seconds_of(run: dict[str, Any] | None) -> float | None:
    """For how long a run has been under way."""
    return (datetime.now(UTC) - run["created_at"]).total_seconds() if run else None


@router.post("/upload/{token}/read")
async def post_reading(token: Token, request: Request, context: Context) -> RedirectResponse:
    """Read the same file otherwise, and show what is found now."""
    check_origin(request)
    upload = found_upload(context, token)
    form = await form_of(request, limit=LARGEST_FORM)
    await run_sync(read_otherwise, context, upload, form, limiter=context.uploads)
    return RedirectResponse(f"/upload/{token}", status_code=303)


@router.post("/upload/{token}/confirm")
def post_confirmation(token: Token, request: Request, context: Context) -> RedirectResponse:
    """Store it as it was shown, and start a retrain; sent twice, it is stored once."""
    check_origin(request)
    upload = found_upload(context, token)
    with upload.lock:
        if upload.report is None:
            upload.report = take_in(context, upload)
            upload.run = post_retrain(upload.funnel, context, Response())["run"]
    return RedirectResponse(f"/upload/{token}", status_code=303)


@router.post("/upload/{token}/discard")
def post_discarding(token: Token, request: Request, context: Context) -> RedirectResponse:
    """Forget the file."""
    check_origin(request)
    found_upload(context, token)
    context.waiting.drop(token)
    return RedirectResponse("/upload", status_code=303)


def found_upload(context: Resources, token: str) -> WaitingUpload:
    """The upload of that token. Raises UploadGoneError, and ForbiddenError where its funnel is not the caller's."""
    upload = context.waiting.find(token)
    context.caller.check_funnel(upload.funnel)
    return upload


def waiting_upload(form: FormData) -> WaitingUpload:
    """The upload of the first form. Raises InputError, and FunnelError for a name that cannot be."""
    file, funnel, kind = form.get("file"), text_of(form, "funnel"), text_of(form, "kind") or "events"
    check_funnel_name(funnel)
    if kind not in ("events", "counts"):
        raise InputError(Problem(f"{kind[:40]!r} is neither events nor counts", field="kind", remedy="choose one"))
    if not isinstance(file, UploadFile) or not file.filename:
        raise InputError(Problem("no file was chosen", field="file", remedy="choose a CSV file, or drop one"))
    source = cast("Any", file.file)
    return WaitingUpload(funnel, cast("Kind", kind), file.filename[-120:], source, file.size or 0)


def first_look(context: Resources, token: str, upload: WaitingUpload) -> None:
    """Find the columns, and read the file as it is; where that cannot be, as its columns look."""
    from service.ingest import guess_columns, head_of  # noqa: PLC0415 - not needed to start

    try:
        with upload.lock:
            head: dict[str, Any] = {}
            with suppress(InputError):  # what is wrong with it, the reading says
                upload.file.seek(0)
                head = dict(head_of(upload.file, max_bytes=context.settings.max_expanded_bytes))
            upload.columns = {name: [text.strip()[:60] for text in texts[:3]] for name, texts in head.items()}
            look(context, upload, Reading())
            if upload.problem is not None and head:
                refused = upload.problem
                mapping, wide = guess_columns(head, upload.kind)
                look(context, upload, Reading({ours: name for ours, name in mapping.items() if ours != name}, wide))
                upload.guessed = upload.problem is None
                upload.problem = upload.problem and refused
            if upload.problem is not None:
                count_refusal(context, upload.funnel, upload.kind, upload.problem)
    except BaseException:
        context.waiting.drop(token)
        raise


def read_otherwise(context: Resources, upload: WaitingUpload, form: FormData) -> None:
    """Look at the file as the form says. Raises InputError for columns that are given twice."""
    with upload.lock:
        if upload.report is None:
            with context.database.read() as connection:
                record = find_funnel(connection, upload.funnel)
            texts = {name: text for name in SAID if (text := text_of(form, name))}
            roles, names = ([str(text) for text in form.getlist(name)] for name in ("role", "named"))
            declared = record.funnel.segment_by if record else None
            upload.guessed = False
            look(
                context,
                upload,
                reading_from_roles(upload, roles, names, texts, segment_by=declared, new=record is None),
            )


def look(context: Resources, upload: WaitingUpload, reading: Reading) -> None:
    """Rehearse the upload; what the person can mend becomes its problem, all else is raised."""
    from service.ingest import rehearse  # noqa: PLC0415 - not needed to start

    found, problem = None, None
    try:
        options = options_of(context, reading)
        upload.file.seek(0)
        found = rehearse(context.database, upload.funnel, upload.file, kind=upload.kind, options=options)
    except NearcastError as error:
        refusal = problem_from_error(error)
        if refusal.status >= 500:
            raise
        problem = document_from_problem(refusal)
    upload.reading, upload.found, upload.problem = reading, found, problem


def options_of(context: Resources, reading: Reading) -> IngestOptions:
    """How to read the file. Raises InputError naming the field of the form."""
    options = UploadQuery(**reading.said).options(max_bytes=context.settings.max_expanded_bytes)
    return replace(options, mapping=reading.mapping, wide=reading.wide)


def take_in(context: Resources, upload: WaitingUpload) -> dict[str, Any]:
    """Store the upload as it was shown."""
    from service.ingest import ingest  # noqa: PLC0415 - not needed to start

    options = options_of(context, upload.reading)
    upload.file.seek(0)
    report = ingest(context.database, upload.funnel, upload.file, kind=upload.kind, options=options)
    context.metrics.uploaded_rows.labels(upload.kind).inc(report.rows)
    return report.as_json()
