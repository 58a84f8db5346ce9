"""A question, as flags or a line of a file ask it. Pure values."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import attrs

from meshd.explain.call import Call, QuestionError, Told

MODES: Final = ("outbound", "inbound", "gateway")


@attrs.frozen
class Question:
    """A call and whose decision about it is asked for; "" is "not said". See ``docs/how-to/explain-a-request.md``."""

    method: str = "GET"
    url: str = ""
    sender: str = ""
    through: str = ""
    mode: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    namespace: str = ""
    proxy_ip: str = ""
    told: Told = Told()

    def __attrs_post_init__(self) -> None:
        try:
            for text in _texts(attrs.astuple(self)):
                text.encode()
        except UnicodeEncodeError as error:
            raise QuestionError(f"{error.object!r} is no text: it holds what is no character") from error
        if self.mode and self.mode not in MODES:
            raise QuestionError(f"--mode {self.mode!r}: expected {', '.join(MODES)}")
        if self.sender and self.through:
            raise QuestionError("give --from or --through, not both: a call is asked of one proxy first")
        if self.through and self.mode in {"outbound", "inbound"}:
            raise QuestionError(f"--through names a gateway, and --mode {self.mode} is a sidecar's")
        if self.sender and self.mode == "gateway":
            raise QuestionError("--from names a sidecar's workload; a gateway is named by --through or --labels")

    def call(self) -> Call:
        """The call.

        Raises:
            QuestionError: it is none.
        """
        return Call.of(self.method, self.url, self.told)

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Question:
        """A question from plain data: the flags' names without dashes as keys.

        Raises:
            QuestionError: a key nobody knows, a value of the wrong kind, or no URL.
        """
        unknown = [key for key in said if key not in KEYS]
        if unknown:
            close = difflib.get_close_matches(str(unknown[0]), KEYS, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else f": known are {', '.join(KEYS)}"
            raise QuestionError(f"{unknown[0]!r} is no option of a call{hint}")
        if not said.get("url"):
            raise QuestionError("a call needs a url")
        told = Told(
            headers=_pairs(said.get("headers"), "headers", ":"),
            **{key: _text(said, key) for key in _TOLD},
        )
        return cls(
            method=_text(said, "method") or "GET",
            url=_text(said, "url"),
            sender=_text(said, "from"),
            through=_text(said, "through"),
            mode=_text(said, "mode"),
            labels=_pairs(said.get("labels"), "labels", "="),
            namespace=_text(said, "namespace"),
            proxy_ip=_text(said, "proxy-ip"),
            told=told,
        )

    def to_data(self) -> dict[str, Any]:
        """The opposite of ``of``."""
        data: dict[str, Any] = {
            "method": self.method,
            "url": self.url,
            "from": self.sender,
            "through": self.through,
            "mode": self.mode,
            "labels": [f"{key}={value}" for key, value in self.labels],
            "namespace": self.namespace,
            "proxy-ip": self.proxy_ip,
            "headers": [f"{name}: {value}" for name, value in self.told.headers],
            **{key: getattr(self.told, key) for key in _TOLD},
        }
        return {key: value for key, value in data.items() if value}


_TOLD: Final = ("address", "protocol", "tls", "sni", "alpn", "peer", "client")
KEYS: Final = ("method", "url", "from", "through", "mode", "labels", "namespace", "proxy-ip", "headers", *_TOLD)


def _texts(values: Iterable[Any]) -> Iterator[str]:
    """Every text within tuples."""
    for value in values:
        if isinstance(value, str):
            yield value
        else:
            yield from _texts(value)


def _text(said: Mapping[str, Any], key: str) -> str:
    value = said.get(key)
    if value is None:
        return ""
    if key == "alpn" and isinstance(value, list):
        return ",".join(str(each) for each in value)
    return _plain(value, key)


def _pairs(value: Any, key: str, mark: str) -> tuple[tuple[str, str], ...]:
    """A mapping, or a list of texts such as ``name: value`` or ``key=value``."""
    if value is None:
        return ()
    if isinstance(value, str):
        value = [value]
    if isinstance(value, Mapping):
        return tuple((str(name), _plain(each, key)) for name, each in value.items())
    if not isinstance(value, list):
        raise QuestionError(f"{key}: expected a mapping or a list, found {value!r}")
    found: list[tuple[str, str]] = []
    for each in value:
        # `- end-user: jason` is a mapping to YAML, and means the same.
        found += _pairs(each, key, mark) if isinstance(each, Mapping) else [pair(_plain(each, key), mark)]
    return tuple(found)


def _plain(value: Any, key: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise QuestionError(f"{key}: expected text, found {value!r}: put it in quotes")
    return str(value)


def pair(text: str, mark: str) -> tuple[str, str]:
    """``name: value`` or ``key=value``.

    Raises:
        QuestionError: it is neither.
    """
    name, found, value = text.partition(mark)
    if not found or not name.strip():
        form = "'name: value'" if mark == ":" else "KEY=VALUE"
        raise QuestionError(f"{text!r}: expected {form}")
    return name.strip(), value.strip()
