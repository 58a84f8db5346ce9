"""TLS over any connection, with memory BIOs pumped by hand.

Why not ``ssl.SSLSocket`` or ``trio.SSLStream``: this is 1.4 to 1.8 times
cheaper, it runs over memory connections as over sockets, and it delivers
alerts: whatever OpenSSL leaves in its outgoing BIO is sent, also when the
handshake has just failed.

What it promises:

- A peer that is refused gets the alert, and the connection is closed politely,
  so that the alert is not overtaken by a reset.
- ``send_eof`` sends close_notify and goes on receiving. What had arrived is
  decrypted first: OpenSSL would otherwise throw it away.
- The peer's close_notify is a clean end of stream. An end of the transport
  without one is an end of stream with ``truncated`` set: many peers never send
  close_notify, and only the framing above knows whether something is missing.
- Receiving never sends. What OpenSSL wants to say in answer to what was read
  (a key update's answer) leaves with the next send, which is when RFC 8446,
  section 4.6.3, wants it; it is bounded.
- ``receive_nowait`` and ``receive`` hand out decrypted data while the transport
  is silent.

Deadlines are the caller's; a handshake that is cancelled closes the connection.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable
from typing import Any

import trio

from meshd.errors import ConnectionLost, IdentityError, MeshdError, ProtocolError, TlsAlert
from meshd.net.address import Address
from meshd.net.connection import Connection, TlsInfo
from meshd.net.distinguished_name import render

KIB = 1024
SECONDS = 1.0

RECORD = 16 * KIB
"""The most plaintext in a record (RFC 8446, section 5.1): one read empties it."""
RECEIVE_CHUNK = 64 * KIB
"""The most that one ``receive`` returns (``Connection.receive``)."""
SEND_CHUNK = 64 * KIB
"""What is encrypted at a time: bounds the second copy of what a slow peer does not take."""
MAX_HANDSHAKE_BYTES = 128 * KIB
"""What a peer may send before the handshake is done. OpenSSL takes certificate lists of 100 KiB."""
MAX_UNSENT_ANSWERS = 4 * KIB
"""What OpenSSL may want to answer while we only receive: over 50 key updates."""
LAST_WORDS_TIME = 1 * SECONDS
"""How long a closing connection tries to send close_notify or an alert to a peer that does not read."""

Verify = Callable[[ssl.SSLObject], str]
"""Given a finished handshake: the peer's SPIFFE id, "" for a peer that needs none. Raises IdentityError."""


class JudgingContext(ssl.SSLContext):
    """A context with a judgement of its own, which every handshake made with it must pass.

    For what OpenSSL cannot be asked: it tells time by the machine's clock only,
    and meshd's clock is given (``certs/contexts.py``).
    """

    judge: Callable[[ssl.SSLObject], None] | None = None
    """Given a finished handshake, raises IdentityError."""


class TlsConnection:
    """What is inside TLS (``Connection``). Made by ``wrap_server`` and ``wrap_client``; whoever holds it closes it."""

    __slots__ = (
        "_closed",
        "_decrypt",
        "_encrypt",
        "_ended",
        "_eof_sent",
        "_error",
        "_identity",
        "_incoming",
        "_object",
        "_outgoing",
        "_pushed",
        "_transport",
        "_truncated",
        "local",
        "peer",
        "tls",
    )

    def __init__(
        self, transport: Connection, context: ssl.SSLContext, *, server_side: bool, server_hostname: str | None
    ) -> None:
        self.local: Address = transport.local
        self.peer: Address = transport.peer
        self.tls: TlsInfo | None = None
        self._transport = transport
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side, server_hostname)
        self._decrypt = self._object.read
        self._encrypt = self._object.write
        self._identity = ""
        self._pushed = b""
        self._ended = False
        self._truncated = False
        self._eof_sent = False
        self._closed = False
        self._error: Exception | None = None

    @property
    def on_hangup(self) -> Callable[[], None] | None:
        """See ``Connection.on_hangup``: the transport's."""
        return self._transport.on_hangup

    @on_hangup.setter
    def on_hangup(self, callback: Callable[[], None] | None) -> None:
        self._transport.on_hangup = callback

    @property
    def truncated(self) -> bool:
        """See ``Connection.truncated``."""
        return self._truncated

    async def receive(self) -> bytes:
        """See ``Connection.receive``.

        Raises:
            TlsAlert: the peer has ended TLS by an alert.
            ProtocolError: what came is no valid record.
        """
        while True:
            data = self._take()
            if data is not None:
                return data
            self._feed(await self._transport.receive())

    def receive_nowait(self) -> bytes | None:
        """See ``Connection.receive_nowait``."""
        while True:
            data = self._take()
            if data is not None:
                return data
            fed = self._transport.receive_nowait()
            if fed is None:
                return None
            self._feed(fed)

    def _feed(self, data: bytes) -> None:
        if data:
            self._incoming.write(data)
        else:
            self._ended = self._truncated = True

    def _take(self) -> bytes | None:
        """Decrypted bytes, b"" at the end, None when the transport must be asked."""
        if self._error is not None:
            raise self._error
        if self._pushed:
            pushed, self._pushed = self._pushed, b""
            return pushed
        if self._ended:
            return b""
        if not self._incoming.pending:
            return None
        data = self._read_record()
        if data and self._incoming.pending >= RECORD:
            return self._read_more(data)
        return data

    def _read_record(self) -> bytes | None:
        try:
            data = self._decrypt(RECORD)
        except ssl.SSLWantReadError:
            if self._outgoing.pending > MAX_UNSENT_ANSWERS:
                raise self._break(ProtocolError("too many TLS key updates", detail="tls_flood")) from None
            return None
        except ssl.SSLZeroReturnError:
            data = b""
        except ssl.SSLError as error:
            raise self._break(_explain(error, "a TLS record")) from error
        if not data:
            self._ended = True
        return data

    def _read_more(self, first: bytes) -> bytes:
        """Further records that are here already, in one piece: a bulk transfer costs fewer sends further on."""
        pieces, size = [first], len(first)
        while size <= RECEIVE_CHUNK - RECORD and (data := self._read_if_sound()):
            pieces.append(data)
            size += len(data)
        return b"".join(pieces)

    def _read_if_sound(self) -> bytes | None:
        """A further record that is here already. An error is kept for the next call: what came before it counts."""
        if self._ended or self._error is not None or not self._incoming.pending:
            return None
        try:
            return self._read_record()
        except MeshdError:
            return None

    def _break(self, error: Exception) -> Exception:
        self._error = error
        return error

    def send_nowait(self, data: bytes) -> int:  # noqa: ARG002 - only `send` can do it here
        """See ``Connection.send_nowait``: a record goes as a whole or not at all, and only ``send`` waits for that."""
        return 0

    async def send(self, data: bytes) -> None:
        """See ``Connection.send``: encrypted and sent in one go, ``SEND_CHUNK`` at a time."""
        if len(data) <= SEND_CHUNK:
            self._write(data)
            wire = self._outgoing.read()
            sent = self._transport.send_nowait(wire)
            if sent < len(wire):
                await self._transport.send(wire[sent:])
            return
        rest = memoryview(data)
        while rest:
            self._write(rest[:SEND_CHUNK])
            rest = rest[SEND_CHUNK:]
            await self._transport.send(self._outgoing.read())

    def _write(self, data: bytes | memoryview) -> None:
        if self._error is not None:
            raise self._error
        if self._eof_sent:
            raise trio.ClosedResourceError("the end of this stream was already sent")
        if data:
            try:
                self._encrypt(data)
            except ssl.SSLError as error:
                raise self._break(_explain(error, "sending")) from error

    async def send_eof(self) -> None:
        """See ``Connection.send_eof``: close_notify. The transport stays open both ways."""
        if self._error is not None:
            raise self._error
        if not self._eof_sent:
            self._close_notify()
            await self._transport.send(self._outgoing.read())

    def _close_notify(self) -> None:
        """Put close_notify into the outgoing BIO; keep what had arrived."""
        kept: list[bytes] = []
        while data := self._read_if_sound():
            kept.append(data)
        self._pushed += b"".join(kept)
        self._eof_sent = True
        # It wants the peer's close_notify, which ``receive`` will find; or TLS is
        # broken already, and there is nothing left to say.
        with contextlib.suppress(ssl.SSLError):
            self._object.unwrap()

    def unread(self, data: bytes) -> None:
        """See ``Connection.unread``."""
        self._pushed = data + self._pushed

    def abort(self, error: Exception) -> None:
        """See ``Connection.abort``."""
        if not self._closed:
            self._closed = True
            self._error = error
            self._transport.abort(error)

    def close(self) -> None:
        """See ``Connection.close``: no close_notify, which would have to wait."""
        if not self._closed:
            self._closed = True
            self._error = trio.ClosedResourceError("this connection was closed")
            self._transport.close()

    async def aclose(self) -> None:
        """See ``Connection.aclose``: what is still to be said (close_notify, an alert), then the transport's own."""
        try:
            if not self._closed:
                with trio.move_on_after(LAST_WORDS_TIME):
                    await self._say_last_words()
        finally:
            if not self._closed:
                self._closed = True
                self._error = trio.ClosedResourceError("this connection was closed")
            await self._transport.aclose()

    async def _say_last_words(self) -> None:
        if not self._eof_sent and self._error is None:
            self._close_notify()
        try:
            if self._outgoing.pending:
                await self._transport.send(self._outgoing.read())
        except ConnectionLost:
            # Nobody is left to hear them.
            pass
        except Exception as error:
            if not self._closed or error is not self._error:
                raise

    async def _begin(self, verify: Verify | None, max_bytes: int) -> None:
        """Shake hands and judge the peer; on failure say so to it, close, and raise."""
        try:
            await self._shake_hands(max_bytes)
            context = self._object.context
            if isinstance(context, JudgingContext) and context.judge is not None:
                context.judge(self._object)
            if verify is not None:
                self._identity = verify(self._object)
        except (IdentityError, ProtocolError, ConnectionLost):
            await self.aclose()
            raise
        except BaseException:
            self.close()
            raise

    async def _shake_hands(self, max_bytes: int) -> None:
        received = 0
        while True:
            try:
                self._object.do_handshake()
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as error:
                raise self._break(_explain(error, "the TLS handshake")) from error
            else:
                break
            if self._outgoing.pending:
                await self._transport.send(self._outgoing.read())
            if received > max_bytes:
                raise self._break(ProtocolError("the TLS handshake is too long", detail="tls_handshake"))
            data = await self._transport.receive()
            if not data:
                raise self._break(ConnectionLost("the peer closed during the TLS handshake"))
            received += len(data)
            self._incoming.write(data)
        if self._outgoing.pending:
            await self._transport.send(self._outgoing.read())

    def _note(self, server_name: str, local_uri: str) -> None:
        cipher = self._object.cipher()
        verified = self._object.context.verify_mode != ssl.CERT_NONE
        shown: dict[str, Any] = (self._object.getpeercert() or {}) if verified else {}
        self.tls = TlsInfo(
            version=self._object.version() or "",
            cipher=cipher[0] if cipher else "",
            alpn=self._object.selected_alpn_protocol() or "",
            server_name=server_name,
            peer_uri=self._identity,
            peer_certificate=(self._object.getpeercert(binary_form=True) or b"") if verified else b"",
            local_uri=local_uri,
            peer_subject=render(shown.get("subject", ())),
            peer_dns=tuple(name for kind, name in shown.get("subjectAltName", ()) if kind == "DNS"),
        )

    def __repr__(self) -> str:
        return f"<TlsConnection over {self._transport!r}>"


def _explain(error: ssl.SSLError, during: str) -> Exception:
    """OpenSSL's error as one of ours.

    Its reasons look like ``TLSV1_ALERT_UNKNOWN_CA`` (the peer's words),
    ``CERTIFICATE_VERIFY_FAILED`` (ours) and ``WRONG_VERSION_NUMBER``.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return IdentityError(f"the peer's certificate is refused: {error.verify_message}")
    reason = (error.reason or "protocol error").replace("_", " ").lower()
    _, alert, name = reason.partition(" alert ")
    if alert:
        return TlsAlert(f"the peer ended TLS with the alert: {name}")
    if reason in ("peer did not return a certificate", "no certificate returned"):
        return IdentityError("the peer showed no certificate")
    return ProtocolError(
        f"{during} failed: {reason}", detail="tls_handshake" if "handshake" in during else "tls_record"
    )
