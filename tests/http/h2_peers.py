"""The other side of HTTP/2, made of the h2 library alone: what our codec is held against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import h2.config
import h2.connection
import h2.events
import trio

from meshd.errors import ConnectionLost
from meshd.http.h2_frames import FrameScanner, GoAway

REQUEST = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"h"), (b":path", b"/x")]
POST = [(b":method", b"POST"), *REQUEST[1:]]


class Peer:
    """One end of a memory connection that speaks HTTP/2 by the library, and remembers all events."""

    def __init__(self, connection: Any, *, client: bool, lenient: bool = False) -> None:
        self.connection = connection
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(
                client_side=client,
                header_encoding=None,
                validate_outbound_headers=not lenient,
                normalize_outbound_headers=not lenient,
            )
        )
        self.events: list[h2.events.Event] = []
        # The library takes nothing after a GOAWAY, so they are kept from it.
        self._scanner = FrameScanner(10**6, preface=not client)
        self.acknowledge = True
        self.closed = False
        self.news = trio.Event()

    async def start(self, **settings: int) -> None:
        self.h2.initiate_connection()
        if settings:
            codes = {getattr(h2.settings.SettingCodes, name.upper()): value for name, value in settings.items()}
            self.h2.update_settings(codes)
        await self.flush()

    async def flush(self) -> None:
        data = self.h2.data_to_send()
        if data:
            await self.connection.send(data)

    async def run(self) -> None:
        """Receive until the end; answers with nothing but acknowledgements."""
        try:
            while data := await self.connection.receive():
                data = self._scanner.feed(data)
                for event in self.h2.receive_data(data):
                    self.events.append(event)
                    if isinstance(event, h2.events.DataReceived) and self.acknowledge:
                        self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                self._tell()
                await self.flush()
        except (ConnectionLost, trio.ClosedResourceError):
            pass
        self.closed = True
        self._tell()

    @property
    def goaways(self) -> list[GoAway]:
        """Every GOAWAY so far."""
        return self._scanner.goaways

    async def wait_goaway(self) -> GoAway:
        while not self.goaways:
            assert not self.closed
            await self.news.wait()
        return self.goaways[-1]

    def _tell(self) -> None:
        self.news.set()
        self.news = trio.Event()

    async def wait_for(self, kind: type[Any], stream_id: int | None = None, count: int = 1) -> Any:
        """The latest event of a kind, once there are so many."""
        while True:
            found = [
                event
                for event in self.events
                if isinstance(event, kind) and (stream_id is None or getattr(event, "stream_id", None) == stream_id)
            ]
            if len(found) >= count:
                return found[-1]
            if self.closed:
                raise AssertionError(f"closed before {count} {kind.__name__}: {self.events}")
            await self.news.wait()

    async def wait_closed(self) -> None:
        while not self.closed:
            await self.news.wait()

    async def request(
        self, fields: Sequence[tuple[bytes, bytes]] = REQUEST, data: bytes | None = None, *, end: bool = True
    ) -> int:
        stream_id = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream_id, fields, end_stream=end and data is None)
        if data is not None:
            self.h2.send_data(stream_id, data, end_stream=end)
        await self.flush()
        return stream_id

    def data(self, stream_id: int) -> bytes:
        return b"".join(
            bytes(event.data)
            for event in self.events
            if isinstance(event, h2.events.DataReceived) and event.stream_id == stream_id
        )

    def head(self, stream_id: int) -> dict[bytes, bytes]:
        kinds = (h2.events.ResponseReceived, h2.events.RequestReceived)
        return dict(
            next(event.headers for event in self.events if isinstance(event, kinds) and event.stream_id == stream_id)
        )
