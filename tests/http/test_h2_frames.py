"""The scanner passes everything but GOAWAY, however it is cut, and counts what does nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshd.http.h2_frames import ENHANCE_YOUR_CALM, PREFACE, FrameScanner, GoAway, H2Error, goaway_frame


def frame(kind: int, payload: bytes = b"", *, flags: int = 0, stream: int = 0) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


FRAMES = st.one_of(
    st.builds(frame, st.sampled_from([0, 1, 9]), st.binary(max_size=40), flags=st.just(4), stream=st.just(1)),
    st.builds(goaway_frame, st.integers(0, 99), st.integers(0, 13)),
)


def scanner(idle_frames: int) -> FrameScanner:
    """One that has seen the settings, and counts from now on."""
    begun = FrameScanner(idle_frames, preface=False)
    begun.feed(frame(4))
    begun.forgive()
    return begun


@given(st.lists(FRAMES, max_size=8), st.integers(1, 60), st.booleans())
def test_all_but_goaway_passes(frames: list[bytes], step: int, preface: bool) -> None:
    scanner = FrameScanner(1000, preface=preface)
    start = (PREFACE if preface else b"") + frame(4)
    wire = start + b"".join(frames)
    passed = b"".join(scanner.feed(wire[at : at + step]) for at in range(0, len(wire), step))
    goaways = [each for each in frames if each[3] == 7]
    assert passed == start + b"".join(each for each in frames if each[3] != 7)
    assert [(each.last_stream_id, each.code) for each in scanner.goaways] == [
        (int.from_bytes(each[9:13], "big"), int.from_bytes(each[13:17], "big")) for each in goaways
    ]


def test_debug_data_and_the_reserved_bit_are_ignored() -> None:
    scanning = scanner(10)
    assert scanning.feed(frame(7, b"\x80\0\0\5\0\0\0\2why")) == b""
    assert scanning.goaways == [GoAway(5, 2)]


@pytest.mark.parametrize("odd", [frame(7, b"\0" * 7), frame(7, b"\0" * 8, stream=1)])
def test_an_odd_goaway_is_left_to_the_library(odd: bytes) -> None:
    scanning = scanner(10)
    assert scanning.feed(odd) == odd


def test_goaway_inside_a_header_block_is_left_to_the_library() -> None:
    scanning = scanner(10)
    wire = frame(1, b"x", stream=1) + goaway_frame(0, 0)
    assert scanning.feed(wire) == wire
    assert scanning.in_block
    scanning.feed(frame(9, b"", flags=4, stream=1))
    assert not scanning.in_block


@pytest.mark.parametrize("kind", [2, 4, 6, 8, 99])
def test_frames_that_do_nothing_are_counted(kind: int) -> None:
    scanning = scanner(10)
    scanning.feed(frame(kind) * 10)
    with pytest.raises(H2Error) as refused:
        scanning.feed(frame(kind))
    assert refused.value.code == ENHANCE_YOUR_CALM


def test_empty_data_is_counted_but_not_the_last() -> None:
    scanning = scanner(1)
    scanning.feed(frame(0, stream=1) + frame(0, flags=1, stream=1) + frame(0, stream=1))
    with pytest.raises(H2Error):
        scanning.feed(frame(0, stream=1))


def test_what_the_peer_has_reason_for_is_credited() -> None:
    scanning = scanner(2)
    for _ in range(10):
        scanning.feed(frame(8) * 2)
        scanning.credit(2)
    for _ in range(10):
        scanning.feed(frame(8) * 2)
        scanning.forgive()
    scanning.feed(frame(8) * 2 + frame(1, b"x", flags=4, stream=1) + frame(8) * 2)


@pytest.mark.parametrize("first", [b"HTTP/1.1 400 Bad Request", frame(0), frame(6, bytes(8))])
def test_the_first_frame_must_be_settings(first: bytes) -> None:
    with pytest.raises(H2Error, match="not HTTP/2"):
        FrameScanner(10, preface=False).feed(first)


def test_a_frame_beyond_the_limit_is_refused_before_it_has_come() -> None:
    with pytest.raises(H2Error) as refused:
        scanner(10).feed(b"\0\x40\1\0\0\0\0\0\1")
    assert refused.value.code == 6
