"""``meshd demo``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from meshd.cli import options
from meshd.modes.settings import DemoSettings, Listening


def demo(
    check: Annotated[
        bool, typer.Option("--check", help="Make a scripted tour, print what was seen, and stop.")
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the directory (store, logs) behind.")] = False,
    dir: Annotated[
        Path | None,
        typer.Option(
            "--dir", metavar="DIR", help="Where to keep everything.", show_default="a new one, removed at the end"
        ),
    ] = None,
    port: Annotated[
        Listening | None,
        typer.Option(
            "--port",
            parser=options.listening,
            metavar="[HOST]:PORT",
            help="Where the gateway listens.",
            show_default="127.0.0.1:8080, or the next free port",
        ),
    ] = None,
) -> None:
    """Run Bookinfo on a mesh of its own: a control plane, a gateway, seven services and their sidecars.

    Every one is a process of its own on 127.0.0.1. Ctrl-C ends all of them.
    """
    settings = DemoSettings(directory=dir, port=port or DemoSettings().port, keep=keep, check=check)
    from meshd.modes.demo.demo import run

    sys.exit(run(settings))
