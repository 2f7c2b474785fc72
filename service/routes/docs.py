"""The API's documentation as one plain page: made from the OpenAPI document, no script, no address outside."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #222; background: #fff }
code { font: 0.9em ui-monospace, monospace } h2 { margin-top: 2.5rem; border-bottom: 1px solid #bbb }
h3 code { background: #eee; padding: 0.1em 0.4em; border-radius: 3px }
table { border-collapse: collapse; width: 100% }
td, th { text-align: left; vertical-align: top; padding: 0.2em 1em 0.2em 0 }
@media (prefers-color-scheme: dark) {
  body { color: #ddd; background: #181818 } h3 code { background: #333 } a { color: #8bf }
}
"""
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

router = APIRouter()


@router.get("/docs", include_in_schema=False)
async def get_docs(request: Request) -> HTMLResponse:
    """The page."""
    page = page_from_openapi(request.app.openapi())
    return HTMLResponse(page, headers={"content-security-policy": POLICY})


def page_from_openapi(document: dict[str, Any]) -> str:
    """HTML of an OpenAPI document: each route with its parameters and answers."""
    routes: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            tag = operation.get("tags", ["other"])[0]
            routes.setdefault(tag, []).append(section_from_operation(method, path, operation))
    sections = "".join(f"<h2>{escape(tag)}</h2>{''.join(parts)}" for tag, parts in routes.items())
    info = document["info"]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(info["title"])} API</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head><body><main>'
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{escape(info.get('description', ''))}</p>"
        f'<p>For programs: <a href="/openapi.json">openapi.json</a>.</p>{sections}</main></body></html>'
    )


def section_from_operation(method: str, path: str, operation: dict[str, Any]) -> str:
    """HTML of one route."""
    rows = "".join(
        f"<tr><td><code>{escape(parameter['name'])}</code></td><td>{escape(parameter['in'])}</td>"
        f"<td>{escape(parameter.get('description', ''))}</td></tr>"
        for parameter in operation.get("parameters", ())
    )
    table = f"<table><tr><th>Parameter</th><th>In</th><th>Meaning</th></tr>{rows}</table>" if rows else ""
    scope = f"<p>Scope: <code>{operation['security'][0]['key'][0]}</code>.</p>" if "security" in operation else ""
    bodies = ", ".join(f"<code>{escape(kind)}</code>" for kind in operation.get("requestBody", {}).get("content", {}))
    answers = "; ".join(
        f"<code>{escape(status)}</code> {escape(answer['description'])}"
        for status, answer in operation["responses"].items()
    )
    return (
        f"<h3><code>{method.upper()} {escape(path)}</code></h3><p>{escape(operation.get('description', ''))}</p>"
        + scope
        + table
        + (f"<p>Body: {bodies}.</p>" if bodies else "")
        + f"<p>Answers: {answers}</p>"
    )
