"""``meshd version``."""

from __future__ import annotations

import platform
from typing import Annotated

import typer

from meshd import __version__
from meshd.cli.output import OutputOption, emit_data


def version(
    output: OutputOption = "table",
    short: Annotated[bool, typer.Option("--short", help="The number alone.")] = False,
) -> None:
    """Print the version of meshd and of what it runs on."""
    if short:
        print(__version__)
    elif output == "table":
        print(f"meshd {__version__} (Python {platform.python_version()}, {platform.system()} {platform.machine()})")
    else:
        emit_data(output, {"meshd": __version__, "python": platform.python_version(), "platform": platform.platform()})
