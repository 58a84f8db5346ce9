"""``--limit NAME=VALUE``: every limit, by name."""

from __future__ import annotations

import attrs
import pytest

from meshd.errors import ConfigError
from meshd.http.limits import HttpLimits
from meshd.modes import memory
from meshd.modes.limits import GATEWAY, SIDECAR, Limits, fields, parse, with_settings
from meshd.proxy.limits import ProxyLimits


def test_every_limit_can_be_set():
    for name, field in fields().items():
        least = 70_000 if "window" in name else 20_000
        text = "off" if isinstance(field.default, bool) else str(least)
        changed = with_settings(Limits(), [parse(f"{name.replace('_', '-')}={text}")])
        part = changed.http if name in attrs.fields_dict(HttpLimits) else changed.proxy
        assert getattr(part, name) == (False if text == "off" else least)
        assert type(getattr(part, name)) in (type(field.default), float), name
    assert set(fields()) == {field.name for field in (*attrs.fields(HttpLimits), *attrs.fields(ProxyLimits))} - {
        "drain_timeout"
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("connections=500", 500),
        ("max-head=64k", 65536),
        ("memory=1.5g", 1610612736),
        ("header-timeout=250ms", 0.25),
        ("idle-timeout=5m", 300.0),
        ("connection_age=0", 0.0),
        ("refuse-misdirected=off", False),
    ],
)
def test_values(text: str, value: float):
    setting = parse(text)
    assert setting.value == value
    changed = with_settings(Limits(), [setting])
    assert value in (getattr(changed.http, setting.name, None), getattr(changed.proxy, setting.name, None))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("connections", "expected NAME=VALUE"),
        ("conections=1", "did you mean connections?"),
        ("xyzzy=1", "limits.md lists them"),
        ("connections=0", "at least 1"),
        ("connections=-1", "a whole number"),
        ("connections=1.5", "a whole number"),
        ("connections=5s", "a whole number"),
        ("max-head=10", "at least 1024"),
        ("header-timeout=1k", "a time"),
        ("header-timeout=", "a time"),
        ("refuse-misdirected=2", "on or off"),
        ("h2-stream-window=4g", "will not do"),
        ("drain-timeout=4", "there is no limit"),
    ],
)
def test_mistakes_are_told(text: str, message: str):
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        parse(text)


def test_roles_differ_where_strangers_do():
    assert GATEWAY.proxy.body_timeout > 0 == SIDECAR.proxy.body_timeout
    assert GATEWAY.http.send_timeout < SIDECAR.http.stream_idle_timeout
    assert GATEWAY.http.h2_max_streams < SIDECAR.http.h2_max_streams


def test_memory_of_this_process(tmp_path):
    assert memory.resident() > 10 * 1024 * 1024
    memory.shrink()
    limited, unlimited, broken = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    limited.write_text("104857600\n")
    unlimited.write_text("max\n")
    broken.write_bytes(b"\xff")
    assert memory.default_limit((tmp_path / "missing", limited)) == 94371840
    assert memory.default_limit((unlimited, broken)) == 0
    unlimited.write_text("9223372036854771712")
    assert memory.default_limit((unlimited,)) == 0
