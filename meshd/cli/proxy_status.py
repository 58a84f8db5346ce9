"""``meshd proxy-status``."""

from __future__ import annotations

from typing import Annotated

import typer

from meshd.cli import options
from meshd.cli.output import OutputOption, emit

COLUMNS = ("name", "kind", "status", "version", "last_seen", "certificate", "reason")


def proxy_status(
    console: Annotated[
        str,
        typer.Option(
            "--console",
            metavar="ADDR",
            help="Where the control plane's console listens.",
            show_default="the control plane of this user on this machine",
        ),
    ] = "",
    output: OutputOption = "table",
) -> None:
    """Show every proxy the control plane knows and whether it runs what it was given.

    SYNCED: it has applied the newest configuration. STALE: it has not yet.
    REFUSED: it could not, and keeps what it had; the reason says why.
    """
    from meshd.modes.status import proxy_rows

    rows = proxy_rows(options.address(console) if console else None)
    emit(output, COLUMNS, rows, empty="meshd: no proxy has asked the control plane for anything yet")
