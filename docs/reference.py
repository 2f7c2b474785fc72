"""Writes docs/api.md from the OpenAPI document and docs/cli.md from the command line: `make docs`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from typer.main import get_command
from typer.testing import CliRunner

from service.app import make_app
from service.cli import COMMANDS, make_cli
from service.problems import TITLES, TYPE_PREFIX, statuses_by_slug
from service.settings import Settings

DOCS = Path(__file__).parent
WIDTH = {"COLUMNS": "110", "TERMINAL_WIDTH": "110"}
MADE = "<!-- Made by `make docs`; do not edit. -->"


def main() -> None:
    """Write both pages."""
    for name, page in pages().items():
        (DOCS / name).write_text(page, encoding="utf-8")


def pages() -> dict[str, str]:
    """Each page by its file's name."""
    return {"api.md": api_page(make_app(Settings()).openapi()), "cli.md": cli_page()}


def api_page(document: Mapping[str, Any]) -> str:
    """Routes with parameters and answers, problem types, and the fields of each document."""
    parts = [
        f"# HTTP API\n\n{MADE}",
        "The same for programs: `GET /openapi.json`; in the browser: `/docs`. Errors are `application/problem+json` "
        "(RFC 9457) with one of the types [below](#problem-types). Where `NEARCAST_AUTH=keys`, a request carries a key "
        "of the route's scope, or of one that includes it: [operate.md](operate.md#who-may-ask).",
    ]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parts.append(operation_section(method.upper(), path, operation))
    parts += ["## Problem types", f"`type` is `{TYPE_PREFIX}` and the name; it stays the same whatever the text says."]
    rows = [(f"`{slug}`", statuses_by_slug().get(slug, ""), title) for slug, title in sorted(TITLES.items())]
    parts.append(table(("type", "status", "meaning"), rows))
    parts.append("## Documents")
    for name, schema in sorted(document["components"]["schemas"].items()):
        if "properties" in schema:
            parts.append(schema_section(name, schema))
    return "\n\n".join(parts) + "\n"


def operation_section(method: str, path: str, operation: Mapping[str, Any]) -> str:
    """One route."""
    parts = [f"## {method} {path}", operation.get("description", operation.get("summary", ""))]
    if "security" in operation:
        parts.append(f"Scope: `{operation['security'][0]['key'][0]}`.")
    parameters = [
        (f"`{each['name']}`", each["in"], "yes" if each.get("required") else "", each.get("description", ""))
        for each in operation.get("parameters", ())
    ]
    if parameters:
        parts.append(table(("parameter", "in", "required", "meaning"), parameters))
    if "requestBody" in operation:
        parts.append(f"Body: {', '.join(f'`{kind}`' for kind in operation['requestBody']['content'])}.")
    answers = [
        (status, answer.get("description", ""), ", ".join(described(answer.get("content", {}))))
        for status, answer in sorted(operation["responses"].items())
    ]
    parts.append(table(("status", "meaning", "content"), answers))
    return "\n\n".join(part for part in parts if part)


def described(content: Mapping[str, Any]) -> Iterator[str]:
    """Media types with the documents they hold."""
    for kind, media in content.items():
        named = kind_of(media.get("schema", {})) if media.get("schema") else ""
        yield f"`{kind}`" + (f": {named}" if named else "")


def schema_section(name: str, schema: Mapping[str, Any]) -> str:
    """The fields of one document."""
    required = schema.get("required", ())
    rows = [
        (f"`{field}`", kind_of(said), "yes" if field in required else "", said.get("description", ""))
        for field, said in schema["properties"].items()
    ]
    head = schema.get("description", "").partition("\n\n")[0]
    return "\n\n".join(
        part for part in (f"### {name}", head, table(("field", "kind", "required", "meaning"), rows)) if part
    )


def kind_of(schema: Mapping[str, Any]) -> str:
    """A JSON schema in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(kind_of(each) for each in schema["anyOf"]))
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    kind = str(schema.get("format") or schema.get("type", "any"))
    if kind == "array":
        return f"list of {kind_of(schema.get('items', {}))}"
    return kind


def cli_page() -> str:
    """Each command's own help."""
    cli, runner = make_cli(), CliRunner()
    parts = [
        f"# Command line\n\n{MADE}",
        "What `nearcast COMMAND --help` says. Exit status 0: done; 2: bad input, told with place and remedy; 1: it is "
        "us or the machine. Settings are environment variables: see the README.",
    ]
    group: Any = get_command(cli)
    for name in COMMANDS:
        parts.append(f"## nearcast {name}")
        for words in ([name], *([name, under] for under in getattr(group.commands[name], "commands", ()))):
            said = runner.invoke(cli, [*words, "--help"], env=WIDTH, prog_name="nearcast")
            lines = [line.rstrip() for line in said.output.strip().splitlines()]
            parts.append("\n".join(["```", *lines, "```"]))
    return "\n\n".join(parts) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell(each) for each in line) + " |" for line in lines)


def cell(value: Any) -> str:
    """A value as it can stand in a table."""
    return str(value).replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    main()
