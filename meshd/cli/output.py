"""How results are printed: tables for people, JSON or YAML for programs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any, TextIO

import typer

from meshd.cli.options import chosen

FORMATS = ("table", "json", "yaml")


def output_format(text: str) -> str:
    """The name of an output format."""
    return chosen(text, FORMATS)


OutputOption = Annotated[
    str,
    typer.Option(
        "--output", "-o", parser=output_format, metavar="table|json|yaml", help="For people, or for programs."
    ),
]


def emit(format: str, columns: Sequence[str], rows: Sequence[dict[str, Any]], *, empty: str) -> None:
    """Print rows.

    Args:
        format: ``table``, ``json`` or ``yaml``.
        columns: The keys a table shows, in order; their upper-case form is the head.
        rows: One dictionary a row; programs get all of it, people get ``columns``.
        empty: What to tell people when there is no row.
    """
    if format != "table":
        emit_data(format, list(rows))
    elif rows:
        print(table(columns, rows))
    else:
        print(empty, file=sys.stderr)


def emit_data(format: str, data: object) -> None:
    """Print plain data for programs: ``json`` or ``yaml``."""
    if format == "json":
        print(json.dumps(data, indent=2))
    else:
        import yaml

        print(yaml.safe_dump(data, sort_keys=False, default_flow_style=False), end="")


def coloured(stream: TextIO) -> bool:
    """Whether to write colours: to a terminal, unless ``NO_COLOR`` is set (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def table(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> str:
    """Columns as wide as their widest cell, three spaces apart, as istioctl and kubectl print them."""
    lines = [[column.replace("_", " ").upper() for column in columns]]
    lines += [[cell(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    return "\n".join(
        "   ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def cell(value: object) -> str:
    """One cell; control characters (a name may come from a stranger) are made visible."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "".join(character if character.isprintable() else "?" for character in str(value))
