"""Join tokens: what a proxy shows for its first certificate.

A token is worth one identity once. The store keeps a hash of its secret, when
it expires and whom it is for; the secret itself exists in the hands of whoever
was told it. Redeeming makes a file that only one process can make, so that
control planes that share the directory agree; the file holds the public key the
certificate was asked for, so that the *same* key may ask again when the first
answer was lost on the way, and nobody else can.

Anyone who may write to the directory can make tokens: ``meshd token create``
needs no running control plane.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from meshd.certs import private_files
from meshd.errors import ConfigError, IdentityError
from meshd.snapshot.protocol import is_name

SECONDS = 1.0
MINUTES = 60 * SECONDS
DAYS = 24 * 60 * MINUTES

DEFAULT_TTL = 10 * MINUTES
"""Source: SPIRE's join_token TTL of 600 s."""
MAX_TTL = 30 * DAYS
KEEP_USED = 1 * DAYS
"""How long a used or expired token stays in the list, so that "already used" can be said."""
MAX_TOKEN = 256
"""Characters of a token that are looked at."""

_TOKEN = re.compile(r"meshd1\.([0-9a-f]{16})\.([A-Za-z0-9_-]{32,64})")
_ID = re.compile(r"[0-9a-f]{16}")


@attrs.frozen
class Token:
    """What is known of a token. Times are seconds since the epoch; ``used`` 0: not yet."""

    id: str
    namespace: str
    service_account: str
    node: str
    """The only node that may use it, "" for any."""
    created: float
    expires: float
    hash: str = attrs.field(repr=False)
    used: float = 0.0
    used_by: str = attrs.field(default="", repr=False)
    """Pin of the public key it was used for."""

    def state(self, now: float) -> str:
        """``used``, ``expired`` or ``valid``."""
        if self.used:
            return "used"
        return "expired" if now >= self.expires else "valid"


class TokenStore:
    """The tokens in one directory. Holds no state of its own; any number may be open on it."""

    def __init__(self, directory: Path, wall_clock: Callable[[], float]) -> None:
        """Use a directory, making it (0700) if needed.

        Raises:
            ConfigError: it cannot be private.
        """
        self._directory = private_files.ensure_directory(directory)
        self._wall_clock = wall_clock

    def create(
        self, namespace: str, service_account: str, *, ttl: float = DEFAULT_TTL, node: str = ""
    ) -> tuple[Token, str]:
        """Make a token.

        Returns:
            What is stored, and the token's text, which is shown once and stored nowhere.

        Raises:
            ConfigError: a name or the life is not allowed, or the directory cannot be written.
        """
        for what, name in (("namespace", namespace), ("service account", service_account), ("node", node or "any")):
            if not is_name(name):
                raise ConfigError(f"{name!r} is no name of a {what}: use letters, digits, '-', '_' and '.'")
        if not 1 <= ttl <= MAX_TTL:
            raise ConfigError(f"a token lives from 1 second to {MAX_TTL / DAYS:.0f} days")
        now = self._wall_clock()
        identifier, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
        token = Token(identifier, namespace, service_account, node, float(now), float(now + ttl), _hash(secret))
        try:
            self.prune()
            private_files.create(self._record(identifier), json.dumps(attrs.asdict(token)).encode())
        except OSError as error:
            raise ConfigError(f"the token cannot be stored: {error.strerror}", origin=str(self._directory)) from error
        return token, f"meshd1.{identifier}.{secret}"

    def list(self) -> tuple[Token, ...]:
        """Every token that is known, oldest first, used and expired ones of the last day included."""
        tokens = [self._load(path.stem) for path in self._directory.glob("*.json")]
        return tuple(sorted((token for token in tokens if token), key=lambda token: (token.created, token.id)))

    def revoke(self, identifier: str) -> bool:
        """Make a token worthless; False when there is none of this id. Certificates it gave live on."""
        if not _ID.fullmatch(identifier):
            return False
        found = private_files.remove(self._record(identifier))
        private_files.remove(self._redeemed(identifier))
        return found

    def check(self, text: str, *, node: str = "") -> Token:
        """What a token is worth, without using it.

        Raises:
            IdentityError: it is unknown, expired, or for another node.
        """
        match = _TOKEN.fullmatch(text.strip()) if len(text) <= MAX_TOKEN else None
        if match is None:
            raise IdentityError("this is no join token: expected the whole line that `meshd token create` printed")
        token = self._load(match[1])
        if token is None or not hmac.compare_digest(token.hash, _hash(match[2])):
            raise IdentityError("the join token is not known here: make one with `meshd token create`")
        if token.node and token.node != node:
            raise IdentityError(f"the join token is for node {token.node!r} only")
        if self._wall_clock() >= token.expires:
            what = "been used already" if token.used else "expired"
            raise IdentityError(f"the join token has {what}: make another with `meshd token create`")
        return token

    def redeem(self, text: str, pin: str, *, node: str = "") -> Token:
        """Use a token for the public key with this pin. The same key may come again until the token expires.

        Raises:
            IdentityError: as ``check``; or it was used for another key.
        """
        token = self.check(text, node=node)
        if not token.used:
            self._mark(token.id, pin)
            # Whoever made the mark first has won; what is in it decides.
            token = self._load(token.id) or token
        if not token.used or not hmac.compare_digest(token.used_by, pin):
            raise IdentityError("the join token has been used already: make another with `meshd token create`")
        return token

    def prune(self) -> None:
        """Forget tokens that expired more than a day ago."""
        horizon = self._wall_clock() - KEEP_USED
        for token in self.list():
            if token.expires < horizon:
                self.revoke(token.id)

    def _mark(self, identifier: str, pin: str) -> None:
        mark = {"used": float(self._wall_clock()), "used_by": pin}
        try:
            private_files.create(self._redeemed(identifier), json.dumps(mark).encode())
        except OSError as error:
            # Not marked is not used: refusing is the only safe answer.
            raise IdentityError(f"the join token cannot be marked as used: {error.strerror}") from error

    def _load(self, identifier: str) -> Token | None:
        plain = _read(self._record(identifier))
        if plain is None:
            return None
        used = _read(self._redeemed(identifier))
        if used is None and self._redeemed(identifier).exists():
            used = {"used": 1.0, "used_by": "unreadable"}
        try:
            token = Token(**{**plain, **(used or {})})
        except TypeError:
            return None
        kinds = (str, str, str, str, float, float, str, float, str)
        sound = all(type(value) is kind for kind, value in zip(kinds, attrs.astuple(token), strict=True))
        return token if sound else None

    def _record(self, identifier: str) -> Path:
        return self._directory / f"{identifier}.json"

    def _redeemed(self, identifier: str) -> Path:
        return self._directory / f"{identifier}.used"


def _hash(secret: str) -> str:
    # 256 random bits need no slow hash: there is nothing to guess.
    return hashlib.sha256(secret.encode("ascii")).hexdigest()


def _read(path: Path) -> dict[str, Any] | None:
    try:
        data = private_files.read(path)
        plain = None if data is None else json.loads(data)
    except (OSError, ValueError):
        return None
    return plain if isinstance(plain, dict) else None
