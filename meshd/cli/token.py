"""``meshd token``: join tokens, with which a proxy gets its first certificate."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from meshd.cli import options
from meshd.cli.output import OutputOption, emit, emit_data

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Make, list and revoke join tokens.")

StateOption = Annotated[
    Path | None,
    typer.Option(
        "--state",
        metavar="DIR",
        help="The control plane's state directory.",
        show_default="~/.local/state/meshd/control",
    ),
]
TTL = 600.0
"""Seconds; SPIRE's join tokens live as long."""


@app.command("create")
def create(
    service_account: Annotated[
        str, typer.Option("--service-account", metavar="NAME", help="The identity the token is good for.")
    ],
    namespace: options.NamespaceOption = "default",
    ttl: Annotated[
        float,
        typer.Option(
            "--ttl", parser=options.seconds, metavar="DURATION", help="How long it is good.", show_default="10m"
        ),
    ] = TTL,
    state: StateOption = None,
    output: OutputOption = "table",
) -> None:
    """Make a token for one proxy. It can be used once.

    Example: meshd sidecar --control https://mesh:15012 --token "$(meshd token create --service-account reviews)" ...
    """
    from meshd.modes.tokens import create_token

    made = create_token(state, namespace, service_account, ttl)
    if output == "table":
        print(f"meshd: good once until {when(made['expires'])} for {made['identity']}", file=sys.stderr)
        print(f"meshd: give it with --ca-hash {made['ca_hash']}", file=sys.stderr)
        print(made["token"])
    else:
        emit_data(output, made)


@app.command("list")
def list_(state: StateOption = None, output: OutputOption = "table") -> None:
    """List the tokens that were made, never their secrets."""
    from meshd.modes.tokens import list_tokens

    rows = list_tokens(state)
    if output == "table":
        rows = [row | {"expires": when(row["expires"])} for row in rows]
    emit(output, ("id", "identity", "expires", "state"), rows, empty="meshd: no tokens")


@app.command("revoke")
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="Its id, from `meshd token list`.")],
    state: StateOption = None,
) -> None:
    """Make a token useless."""
    from meshd.modes.tokens import revoke_token

    revoke_token(state, token_id)
    print(f"meshd: revoked {token_id}", file=sys.stderr)


def when(timestamp: float) -> str:
    """Seconds since the epoch as a person reads them."""
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
