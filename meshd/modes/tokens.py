"""``meshd token``: join tokens, straight in the control plane's state directory.

Whoever may write there may make tokens; no control plane needs to run.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from meshd.certs import private_files
from meshd.certs.x509 import describe
from meshd.control import local
from meshd.control.authority import SIGNING_ROOT
from meshd.control.tokens import Token, TokenStore
from meshd.errors import IdentityError, StartError
from meshd.modes.paths import state_home


def control_state(given: Path | None) -> Path:
    """The state directory: the given one, that of this user's running control plane, or the usual one.

    Raises:
        StartError: no control plane has been there.
    """
    running = local.find(local.runtime_directory(os.environ))
    state = given or (Path(running.state) if running and running.state else state_home(os.environ) / "control")
    if not (state / SIGNING_ROOT).exists():
        raise StartError(f"{state} is not the state directory of a control plane: name it with --state DIR")
    return state


def create_token(state: Path | None, namespace: str, service_account: str, ttl: float) -> dict[str, Any]:
    """Make a token; ``token``, ``id``, ``identity``, ``expires`` and ``ca_hash`` of what was made."""
    directory = control_state(state)
    pin = _pin(directory)
    token, secret = _store(directory).create(namespace, service_account, ttl=ttl)
    return {"token": secret, **_row(token, token.created), "ca_hash": pin}


def list_tokens(state: Path | None) -> list[dict[str, Any]]:
    """Every token that is known."""
    now = _wall_clock()
    return [_row(token, now) for token in _store(control_state(state)).list()]


def revoke_token(state: Path | None, token_id: str) -> None:
    """Make a token worthless.

    Raises:
        StartError: there is none of this id.
    """
    if not _store(control_state(state)).revoke(token_id):
        raise StartError(f"no token has the id {token_id!r}: `meshd token list` shows them", exit_code=1)


def _store(state: Path) -> TokenStore:
    return TokenStore(state / "tokens", _wall_clock)


def _row(token: Token, now: float) -> dict[str, Any]:
    identity = f"ns/{token.namespace}/sa/{token.service_account}"
    return {"id": token.id, "identity": identity, "expires": token.expires, "state": token.state(now)}


def _pin(state: Path) -> str:
    path = state / SIGNING_ROOT
    try:
        pem = private_files.read(path) or b""
        return describe(pem.decode("ascii", "replace"))[0].pin
    except OSError as error:
        raise StartError(f"{path}: {error.strerror}") from error
    except IdentityError as error:
        raise StartError(f"{path} holds no certificate: {error}") from error


def _wall_clock() -> float:
    return time.time()  # noqa: TID251 - a one-shot command is its own composition root
