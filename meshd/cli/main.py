"""The command ``meshd``: its sub-commands, and how any of them ends.

Exit codes: 0 ok; 1 failed while running; 2 usage; 65 unusable configuration;
69 control plane unreachable; 78 cannot start as configured. Whatever a user can
cause is one clear line on stderr; a traceback is a bug of meshd.
"""

from __future__ import annotations

# Whatever a start loads stays; collecting in between is time lost. A long-running process
# (modes/process.py) freezes what is there and collects again.
import gc

gc.disable()

import errno
import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from meshd import __version__
from meshd.cli import analyze, capture, control, demo, explain, gateway, proxy_status, sidecar, test, token, version
from meshd.errors import ConfigError, MeshdError, StartError

UNUSABLE_CONFIGURATION = 65
INTERRUPTED = 130
CANNOT_WRITE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF})
"""What a disk says of output that it does not take."""

app = typer.Typer(
    name="meshd",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={
        "auto_envvar_prefix": "MESHD",
        "help_option_names": ["-h", "--help"],
        "max_content_width": 110,
        "show_default": True,
    },
)


def print_version(wanted: bool) -> None:
    """``meshd --version``."""
    if wanted:
        print(f"meshd {__version__}")
        raise typer.Exit


@app.callback()
def meshd(
    version: Annotated[
        bool,
        typer.Option("--version", callback=print_version, is_eager=True, help="Print the version.", show_default=False),
    ] = False,
) -> None:
    """A service mesh in one program: Istio's ideas and configuration, without Kubernetes.

    Every flag can be given as an environment variable: MESHD_<COMMAND>_<FLAG>.
    """


app.command("control")(control.control)
app.command("sidecar")(sidecar.sidecar)
app.command("gateway")(gateway.gateway)
app.command("demo")(demo.demo)
app.command("analyze")(analyze.analyze)
app.command("explain")(explain.explain)
app.command("test")(test.play)
app.add_typer(token.app, name="token")
app.add_typer(capture.app, name="capture")
app.command("proxy-status")(proxy_status.proxy_status)
app.command("version")(version.version)


def main() -> NoReturn:
    """Run the command line and exit with the right code."""
    mend_output()
    try:
        try:
            app(prog_name="meshd")
        finally:
            # What is still kept back is written while there is somebody to tell of a full disk.
            sys.stdout.flush()
    except MeshdError as error:
        fail(error)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has enough (`meshd ... | head`); the interpreter must not complain while closing.
        give_up_output()
        sys.exit(0)
    except OSError as error:
        if error.errno not in CANNOT_WRITE or error.filename is not None:
            raise
        give_up_output()
        print(f"meshd: the output cannot be written: {(error.strerror or str(error)).lower()}", file=sys.stderr)
        sys.exit(1)
    sys.exit(0)


def mend_output() -> None:
    """Make output possible that started without: closed (``>&-``), or in an encoding that lacks a character."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            # Else the next file that is opened would take its number.
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  as long as the process
        getattr(sys, name).reconfigure(errors="backslashreplace")


def give_up_output() -> None:
    """What is kept back goes nowhere, and the interpreter does not complain of it while closing."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def fail(error: MeshdError) -> NoReturn:
    """Say what is wrong in one line and exit."""
    print(f"meshd: {error}", file=sys.stderr)
    if isinstance(error, StartError):
        sys.exit(error.exit_code)
    sys.exit(UNUSABLE_CONFIGURATION if isinstance(error, ConfigError) else 1)
