"""HTTP/2's framing, state and compression, behind a small seam: bytes in, events out, calls in, bytes out. Pure.

This is the only module that knows the h2 library. Whatever replaces it keeps
``H2Codec``'s methods and events, and agrees with it on generated traffic.
Header validation is never off. The library is helped where it falls short: GOAWAY
lets streams below its mark finish, and streams beyond the limit are refused
instead of ending the connection.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import NamedTuple

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
from hpack import NeverIndexedHeaderTuple

from meshd.http.h2_frames import CANCEL, NO_ERROR, FrameScanner, GoAway, H2Error, goaway_frame
from meshd.http.limits import HttpLimits

_SECRETS = frozenset((b"authorization", b"proxy-authorization"))
SHORT_COOKIE = 20
"""Bytes of a cookie that could be guessed (the library's own measure)."""
CRUMB = 128
"""Bytes of a body in a frame that hardly pay for the frame."""
MAX_STREAM_ID = 2**31 - 1
Field = tuple[bytes, bytes]


class HeadReceived(NamedTuple):
    """A request's or final response's header list."""

    stream_id: int
    fields: Sequence[Field]
    ended: bool


class InformationalReceived(NamedTuple):
    """A 1xx response."""

    stream_id: int
    fields: Sequence[Field]


class DataReceived(NamedTuple):
    """Bytes of a body; ``size`` (padding included) is to be acknowledged when they were taken."""

    stream_id: int
    data: bytes
    size: int
    ended: bool


class TrailersReceived(NamedTuple):
    """Trailer fields, which end a message."""

    stream_id: int
    fields: Sequence[Field]


class StreamReset(NamedTuple):
    """The peer has reset a stream, or broke its rules so that it was reset here (``by_us``)."""

    stream_id: int
    code: int
    by_us: bool


class WindowOpened(NamedTuple):
    """There may be room to send: on one stream, or on all (0)."""

    stream_id: int


class SettingsReceived(NamedTuple):
    """The peer's settings have come (and were acknowledged)."""


class PingAcknowledged(NamedTuple):
    """The peer has read what was sent before our PING."""


Event = (
    HeadReceived
    | InformationalReceived
    | DataReceived
    | TrailersReceived
    | StreamReset
    | WindowOpened
    | SettingsReceived
    | PingAcknowledged
    | GoAway
)


class _Settings(h2.settings.Settings):
    """Settings whose stream limit is twice what they tell the peer, so that the excess can be refused stream by stream."""

    @property  # type: ignore[misc]
    def max_concurrent_streams(self) -> int:
        return 2 * super().max_concurrent_streams


class H2Codec:
    """One HTTP/2 connection's state. Belongs to its engine.

    Args:
        client: Which side this is.
        limits: What the peer is told and held to.
    """

    def __init__(self, *, client: bool, limits: HttpLimits) -> None:
        # What is sent is in order already (``Headers`` sees to it), so only its check is left on.
        config = h2.config.H2Configuration(client_side=client, header_encoding=None, normalize_outbound_headers=False)
        settings = {
            h2.settings.SettingCodes.HEADER_TABLE_SIZE: 4096,
            h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: limits.h2_stream_window,
            h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: limits.max_response_head if client else limits.max_head,
        }
        if client:
            settings[h2.settings.SettingCodes.ENABLE_PUSH] = 0
        else:
            settings[h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS] = limits.h2_max_streams
        connection = h2.connection.H2Connection(config)
        connection.local_settings = _Settings(client=client, initial_values=settings)
        connection.decoder.max_header_list_size = settings[h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE]
        self._connection = connection
        self._limits = limits
        self._scanner = FrameScanner(limits.h2_idle_frames, preface=not client)
        self._out: list[bytes] = []
        self._ended = False

    def start(self) -> None:
        """Say hello: preface, settings, and the connection's window."""
        self._connection.initiate_connection()
        default = 65535
        if self._limits.h2_connection_window > default:
            self._connection.increment_flow_control_window(self._limits.h2_connection_window - default)

    # Receiving

    def receive(self, data: bytes) -> list[Event]:
        """Read what came.

        Raises:
            H2Error: the connection must end; the GOAWAY that says so is in the output.
        """
        try:
            events = [self._translate(event) for event in self._connection.receive_data(self._scanner.feed(data))]
        except h2.exceptions.ProtocolError as error:
            self._ended = True
            if self._connection.state_machine.state is not h2.connection.ConnectionState.CLOSED:
                # A wrong preface: the library says no goodbye to that.
                self.go_away(0, int(error.error_code))
            raise H2Error(_describe(error), code=int(error.error_code)) from error
        except H2Error as error:
            self.go_away(self._connection.highest_inbound_stream_id, error.code)
            raise
        found: list[Event] = [event for event in events if event is not None]
        if self._scanner.goaways:
            found += self._scanner.goaways
            self._scanner.goaways = []
        return found

    def _translate(self, event: h2.events.Event) -> Event | None:
        if isinstance(event, h2.events.DataReceived):
            return DataReceived(
                event.stream_id, bytes(event.data), event.flow_controlled_length, event.stream_ended is not None
            )
        if isinstance(event, h2.events.RequestReceived | h2.events.ResponseReceived):
            return HeadReceived(event.stream_id, event.headers, event.stream_ended is not None)
        if isinstance(event, h2.events.TrailersReceived):
            return TrailersReceived(event.stream_id, event.headers)
        if isinstance(event, h2.events.WindowUpdated):
            return WindowOpened(event.stream_id or 0)
        if isinstance(event, h2.events.StreamReset):
            return StreamReset(event.stream_id, int(event.error_code), not event.remote_reset)
        if isinstance(event, h2.events.InformationalResponseReceived):
            return InformationalReceived(event.stream_id, event.headers)
        if isinstance(event, h2.events.RemoteSettingsChanged):
            return SettingsReceived()
        if isinstance(event, h2.events.PingAckReceived):
            return PingAcknowledged()
        return None

    @property
    def in_block(self) -> bool:
        """Whether a header block is unfinished."""
        return self._scanner.in_block

    def forgive(self) -> None:
        """Forget how many idle frames have come (called now and then)."""
        self._scanner.forgive()

    def acknowledge(self, stream_id: int, size: int) -> None:
        """Bytes were taken by the application: the peer may send as many more."""
        if not self._ended:
            self._connection.acknowledge_received_data(size, stream_id)

    # Sending

    def take_output(self) -> bytes:
        """What is to be written to the peer; each byte is given once."""
        data = self._connection.data_to_send()
        if self._out:
            data = data + b"".join(self._out)
            self._out.clear()
        return data

    @property
    def pending(self) -> int:
        """Bytes waiting in the output."""
        return len(self._connection._data_to_send) + sum(map(len, self._out))

    def room(self, stream_id: int) -> int:
        """Bytes of a body that may be sent in one frame now, as far as the peer's windows go; 0 or less: none."""
        connection = self._connection
        stream = connection.streams.get(stream_id)
        if stream is None:
            return 0
        return min(
            connection.outbound_flow_control_window,
            stream.outbound_flow_control_window,
            connection.max_outbound_frame_size,
        )

    def stream_room(self, stream_id: int) -> int:
        """As ``room``, looking at the stream's own window only."""
        stream = self._connection.streams.get(stream_id)
        return 0 if stream is None else stream.outbound_flow_control_window

    def next_stream_id(self) -> int:
        """The id for a request that is about to be sent.

        Raises:
            h2.exceptions.NoAvailableStreamIDError: this connection is used up.
        """
        return self._connection.get_next_available_stream_id()

    def send_head(self, stream_id: int, fields: list[Field], *, end: bool) -> None:
        """A request, a response, or trailers."""
        safe = [NeverIndexedHeaderTuple(*field) if _is_secret(field) else field for field in fields]
        self._connection.send_headers(stream_id, safe, end_stream=end)

    def send_data(self, stream_id: int, data: bytes, *, end: bool) -> None:
        """At most ``room`` bytes."""
        self._connection.send_data(stream_id, data, end_stream=end)
        if end or len(data) > CRUMB or self.room(stream_id) > 0:
            # What is taken is given back by WINDOW_UPDATE, on the stream and the connection. Not so crumbs that
            # used a window up: a peer that opens it byte by byte makes work.
            self._scanner.credit(2)

    def reset(self, stream_id: int, code: int = CANCEL) -> None:
        """End a stream at once. Idempotent."""
        if self._ended:
            return
        # A stream that is closed both ways already needs no reset.
        with contextlib.suppress(h2.exceptions.ProtocolError):
            self._connection.reset_stream(stream_id, code)

    def ping(self) -> None:
        """Ask for a sign of life."""
        self._connection.ping(b"meshd\0\0\0")

    def go_away(self, last_stream_id: int, code: int = NO_ERROR) -> None:
        """Say that streams above the mark will not be served. Those below go on."""
        self._out.append(goaway_frame(last_stream_id, code))

    @property
    def highest_peer_stream(self) -> int:
        """The highest stream the peer has opened."""
        return self._connection.highest_inbound_stream_id

    @property
    def peer_max_streams(self) -> int:
        """How many concurrent streams the peer allows us."""
        return self._connection.remote_settings.max_concurrent_streams

    def is_open(self, stream_id: int) -> bool:
        """Whether a stream is known and not closed both ways."""
        stream = self._connection.streams.get(stream_id)
        return stream is not None and not stream.closed


def _is_secret(field: Field) -> bool:
    """Whether compression must not remember it (RFC 7541 section 7.1.3): whoever shares the connection could guess it."""
    return field[0] in _SECRETS or (field[0] == b"cookie" and len(field[1]) < SHORT_COOKIE)


def _describe(error: Exception) -> str:
    """What happened, without the peer's bytes."""
    return f"HTTP/2: {type(error).__name__.removesuffix('Error')}"
