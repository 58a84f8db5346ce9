"""The codec's own part: secrets are not remembered, goodbyes are said, streams keep their windows."""

from __future__ import annotations

import h2.errors
import pytest
from hpack import HeaderTuple, NeverIndexedHeaderTuple
from hpack.hpack import Decoder

from meshd.http.h2_codec import DataReceived, Event, H2Codec, HeadReceived, SettingsReceived, StreamReset
from meshd.http.h2_frames import PREFACE, GoAway, H2Error
from meshd.http.limits import HttpLimits

REQUEST = [(b":method", b"GET"), (b":authority", b"h"), (b":scheme", b"http"), (b":path", b"/")]


def pair() -> tuple[H2Codec, H2Codec]:
    client, server = H2Codec(client=True, limits=HttpLimits()), H2Codec(client=False, limits=HttpLimits())
    client.start()
    server.start()
    exchange(client, server)
    return client, server


def exchange(client: H2Codec, server: H2Codec) -> tuple[list[Event], list[Event]]:
    """Everything both have to say, to each other; what client and server have seen."""
    seen: tuple[list[Event], list[Event]] = ([], [])
    while (forth := client.take_output()) + (back := server.take_output()):
        seen[1].extend(server.receive(forth) if forth else [])
        seen[0].extend(client.receive(back) if back else [])
    return seen


def test_a_request_and_its_answer() -> None:
    client, server = pair()
    stream_id = client.next_stream_id()
    client.send_head(stream_id, [*REQUEST, (b"a", b"b")], end=True)
    _, seen = exchange(client, server)
    (head,) = seen
    assert isinstance(head, HeadReceived)
    assert head.ended
    assert [tuple(field) for field in head.fields] == [*REQUEST, (b"a", b"b")]
    server.send_head(stream_id, [(b":status", b"200")], end=False)
    server.send_data(stream_id, b"hello", end=True)
    seen, _ = exchange(client, server)
    data = seen[-1]
    assert isinstance(data, DataReceived)
    assert (data.data, data.size, data.ended) == (b"hello", 5, True)


def test_settings_are_seen_once() -> None:
    client, server = (
        H2Codec(client=True, limits=HttpLimits()),
        H2Codec(client=False, limits=HttpLimits(h2_max_streams=7)),
    )
    client.start()
    server.start()
    seen, _ = exchange(client, server)
    assert [event for event in seen if isinstance(event, SettingsReceived)] == [SettingsReceived()]
    assert client.peer_max_streams == 7


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        (b"authorization", b"Bearer x", True),
        (b"cookie", b"a=b", True),
        (b"cookie", b"a" * 100, False),
        (b"x-other", b"a", False),
    ],
)
def test_secrets_are_never_indexed(name: bytes, value: bytes, secret: bool) -> None:
    client, _ = pair()
    client.send_head(1, [*REQUEST, (name, value)], end=True)
    frame = client.take_output()
    fields = list(Decoder().decode(frame[9:], raw=True))
    kind = type(fields[-1])
    assert kind is (NeverIndexedHeaderTuple if secret else HeaderTuple)


def test_a_wrong_preface_is_told_goodbye() -> None:
    server = H2Codec(client=False, limits=HttpLimits())
    server.start()
    with pytest.raises(H2Error):
        server.receive(b"x" * len(PREFACE))
    assert server.take_output()[-14] == 7
    server.reset(1)
    server.acknowledge(1, 5)
    assert server.take_output() == b""


def test_goaway_passes_the_library_by() -> None:
    client, server = pair()
    client.send_head(client.next_stream_id(), REQUEST, end=True)
    exchange(client, server)
    server.go_away(1)
    server.send_head(1, [(b":status", b"200")], end=True)
    seen, _ = exchange(client, server)
    assert GoAway(1, 0) in seen
    assert any(isinstance(event, HeadReceived) for event in seen)


def test_resets_say_whose_they_are() -> None:
    client, server = pair()
    client.send_head(client.next_stream_id(), REQUEST, end=False)
    exchange(client, server)
    client.reset(1)
    client.reset(1)
    _, seen = exchange(client, server)
    assert seen == [StreamReset(1, int(h2.errors.ErrorCodes.CANCEL), by_us=False)]
    assert server.room(1) <= 0 or not server.is_open(1)
    assert server.room(99) == server.stream_room(99) == 0


def test_rooms_shrink_by_what_is_sent() -> None:
    client, server = pair()
    client.send_head(client.next_stream_id(), REQUEST, end=False)
    before = client.stream_room(1)
    client.send_data(1, bytes(1000), end=False)
    assert client.stream_room(1) == before - 1000
    assert client.room(1) == 16384
    assert client.pending > 1000
    del server
