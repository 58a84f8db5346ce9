"""Log lines: one an event, nothing can break out of its line."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from meshd.modes import logs
from meshd.modes.settings import Logging


@pytest.fixture
def restored() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("meshd")
    handlers, level, our_level = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    ours.setLevel(our_level)


def logged(format: str, message: str, level: str = "info", **extra: object) -> str:
    stream = io.StringIO()
    logs.set_up(Logging(format=format, level=level), stream)
    logging.getLogger("meshd.test").info(message, extra=extra)
    return stream.getvalue()


@pytest.mark.usefixtures("restored")
def test_text() -> None:
    line = logged("text", "listening", address="127.0.0.1:1", why="two words", none="")
    assert line.endswith(' INFO listening address=127.0.0.1:1 why="two words" none=""\n')


@pytest.mark.usefixtures("restored")
def test_text_stays_on_its_line() -> None:
    line = logged("text", "name\nfake line \x1b[2J", host="a\r\nb")
    assert line.count("\n") == 1
    assert "\x1b" not in line


@pytest.mark.usefixtures("restored")
def test_json() -> None:
    entry = json.loads(logged("json", "listening", address="x", message_id=7, time="not ours"))
    assert entry["message"] == "listening"
    assert entry["address"] == "x"
    assert entry["message_id"] == 7
    assert entry["level"] == "info"
    assert entry["time"] != "not ours"


@pytest.mark.usefixtures("restored")
def test_level() -> None:
    assert logged("text", "hidden", level="warning") == ""
