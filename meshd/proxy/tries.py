"""The tries of an exchange that needs more than one, or may only take so long.

What to do with the outcome of a try is decided by ``retry.py``; here is the
waiting: deadlines, back-off, the replay of the body.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import trio

from meshd.errors import (
    ConnectionLost,
    DeadlineExceeded,
    MeshdError,
    ProtocolError,
    ResponseFlag,
    TlsAlert,
    UpstreamError,
)
from meshd.http.head import ResponseHead
from meshd.http.stream import ClientStream
from meshd.net.timers import Timer, Timers
from meshd.policy.exchange import Response
from meshd.proxy.attempt import answered, attempt
from meshd.proxy.destination import hosts_known, passthrough_host
from meshd.proxy.exchange import ProxyExchange
from meshd.proxy.local import local_response
from meshd.proxy.reply import ClientGone, RouteTimeout, StreamIdle, TryTimeout, from_error
from meshd.proxy.upload import Upload
from meshd.proxy.upstream.host import Host
from meshd.proxy.upstream.lease import Lease
from meshd.proxy.upstream.passthrough import PassthroughUpstream
from meshd.proxy.upstream.upstream import Upstream

if TYPE_CHECKING:
    from meshd.proxy.forward import RoutePlan

_EXPECTED_TIMEOUT = b"x-envoy-expected-rq-timeout-ms"


class Pause:
    """A wait for time that can be given up."""

    __slots__ = ("_error", "_event")

    def __init__(self) -> None:
        self._event = trio.Event()
        self._error: Exception | None = None

    def abort(self, error: Exception) -> None:
        self._error = error
        self._event.set()

    async def wait(self, timers: Timers, seconds: float) -> None:
        """Wait; raises what ``abort`` was given."""
        timer = timers.after(seconds, self._event.set)
        try:
            await self._event.wait()
        finally:
            timer.cancel()
        if self._error is not None:
            raise self._error


async def in_tries(tries: Tries, outcome: ResponseHead | Exception | None) -> Response:
    """The tries' response, or the reply that says why there is none."""
    exchange = tries.exchange
    try:
        return await tries.run(outcome)
    except (MeshdError, OSError) as error:
        if isinstance(exchange.failure, ClientGone):
            raise
        exchange.release()
        exchange.upstream_failure = str(error)
        reply = from_error(error, attempts=exchange.attempts)
        reply.flags = (*tries.flags, *reply.flags)
        if isinstance(error, StreamIdle) and not exchange.stream.body.ended:
            reply.status = 408
        return local_response(exchange, reply)
    finally:
        tries.settle()


class Tries:
    """The tries of one exchange. The whole mutable state is what ``__init__`` sets."""

    __slots__ = ("avoid", "began", "exchange", "flags", "limited", "retry", "retrying", "timeout", "upload", "upstream")

    def __init__(self, exchange: ProxyExchange, upstream: Upstream, plan: RoutePlan) -> None:
        self.exchange = exchange
        self.upstream = upstream
        self.retry = retry = plan.retry
        self.timeout = plan.timeout
        self.limited = plan.limited
        """There is any timeout."""
        if exchange.fault_injected:
            self.retry = retry = None
            self.timeout = 0.0
            self.limited = False
        self.avoid: list[Host] = []
        self.began = 0.0
        """When the deadline's time began, 0.0 before."""
        self.retrying = False
        """Counted among the cluster's concurrent retries."""
        self.flags: tuple[ResponseFlag, ...] = ()
        """Of the tries as a whole: URX, or UO when there were too many retries."""
        self.upload: Upload | None = None
        if exchange.nursery is not None:
            keep = exchange.live.limits.replay_bytes if retry is not None else 0
            self.upload = Upload(exchange.stream.body, exchange.body, keep=keep, done=self._request_complete)
        elif self.timeout:
            self._request_complete()

    def settle(self) -> None:
        """No longer among the cluster's concurrent retries."""
        if self.retrying:
            self.retrying = False
            self.upstream.retries -= 1

    async def run(self, outcome: ResponseHead | Exception | None = None) -> Response:
        """The response, or the last failure. The caller calls ``settle`` afterwards, whatever happens.

        Args:
            outcome: What the first try has come to, when it has been made already.
        """
        while True:
            if outcome is None:
                self.exchange.attempts += 1
                outcome = await self._try()
            if isinstance(outcome, ResponseHead):
                if not self._again_instead_of(outcome):
                    self.exchange.flags.extend(self.flags)
                    assert self.exchange.lease is not None
                    return answered(self.exchange, outcome, self.exchange.lease.stream.body)
            else:
                failure = self._judge(outcome)
                if not self._again_after(failure):
                    raise failure from (None if failure is outcome else outcome)
            outcome = None
            self.settle()
            await self._before_retry()

    async def _try(self) -> ResponseHead | Exception:
        timer = self._start_try() if self.limited else None
        try:
            return await attempt(self.exchange, self.upstream, await self._pick(), self.upload)
        except (MeshdError, OSError) as error:
            return error
        finally:
            if timer is not None:
                timer.cancel()

    def _start_try(self) -> Timer | None:
        """Tell the backend how long it has; the timer of this try, when tries have one."""
        exchange, retry = self.exchange, self.retry
        exchange.request.headers.set(_EXPECTED_TIMEOUT, b"%d" % self._expected_ms())
        if retry is None or not retry.per_try_timeout or self.upload is not None:
            return None
        return exchange.live.timers.after(retry.per_try_timeout, self._try_timed_out)

    async def _pick(self) -> Host:
        upstream = self.upstream
        if isinstance(upstream, PassthroughUpstream):
            return await passthrough_host(self.exchange, upstream)
        if not upstream.known:
            await hosts_known(self.exchange, upstream)
        if not self.avoid:
            return upstream.pick()
        assert self.retry is not None
        return upstream.pick(self.avoid, self.retry.host_selection_attempts)

    def _expected_ms(self) -> int:
        left = self.timeout
        if left and self.began:
            left = max(0.001, self.began + left - trio.current_time())
        if self.retry is not None and self.retry.per_try_timeout:
            left = min(left, self.retry.per_try_timeout) if left else self.retry.per_try_timeout
        return max(1, int(left * 1000))

    # What to do with the outcome of a try.

    def _judge(self, error: Exception) -> Exception:
        """What a try's exception means, in the words of the errors' families."""
        exchange = self.exchange
        lease = exchange.lease
        if lease is not None:
            lease.host.failures += 1
            lease.host.timeouts += isinstance(error, DeadlineExceeded)
        if exchange.failure is not None:
            return exchange.failure
        sent = lease is not None and lease.stream.request_bytes_sent
        if isinstance(error, ProtocolError):
            flag = ResponseFlag.UPSTREAM_PROTOCOL_ERROR
            return UpstreamError("protocol error", flag, cause=str(error), sent=True)
        alert = _refusal(error, lease)
        if alert is not None:
            # With TLS 1.3 the server's no comes after the handshake; nothing that was sent has been read.
            flag = ResponseFlag.UPSTREAM_CONNECTION_FAILURE
            return UpstreamError("remote connection failure", flag, cause=f"TLS: {alert}")
        if isinstance(error, (ConnectionLost, OSError)):
            flag = ResponseFlag.UPSTREAM_TERMINATION
            error = UpstreamError("connection termination", flag, cause=str(error), sent=sent)
        if isinstance(error, UpstreamError) and lease is not None and lease.pooled.unproven:
            cause = f"{error.cause}; a first request over mutual TLS: the server's log says if it refused our identity"
            return UpstreamError(error.reason, error.flag, cause=cause, sent=error.sent)
        return error

    def _again_after(self, error: Exception) -> bool:
        exchange, retry = self.exchange, self.retry
        if retry is None or exchange.failure is not None:
            return False
        lease = exchange.lease
        sent = lease is not None and lease.stream.request_bytes_sent
        return retry.wants_failure(error, method=exchange.request.method, sent=sent) and self._may_retry()

    def _again_instead_of(self, head: ResponseHead) -> bool:
        retry = self.retry
        if retry is None:
            return False
        wanted = retry.wants_status(head.status) and b"x-envoy-ratelimited" not in head.headers
        if not wanted and self.exchange.grpc and retry.grpc_statuses:
            grpc_status = head.headers.get(b"grpc-status")
            wanted = grpc_status is not None and grpc_status.isdigit() and retry.wants_grpc(int(grpc_status))
        return wanted and self._may_retry()

    def _may_retry(self) -> bool:
        assert self.retry is not None
        if self.exchange.attempts > self.retry.attempts:
            if self.retry.attempts:
                self.flags = (ResponseFlag.RETRY_LIMIT_EXCEEDED,)
            return False
        if self.upload is not None and not self.upload.replayable:
            return False
        others = self.upstream.retries - self.retrying
        if others >= self.upstream.cluster.limits.max_retries:
            self.flags = (ResponseFlag.UPSTREAM_OVERFLOW,)
            return False
        return True

    async def _before_retry(self) -> None:
        """Clear the failed try away and wait for the next one's time."""
        exchange, retry = self.exchange, self.retry
        assert retry is not None
        lease, exchange.lease = exchange.lease, None
        if lease is not None:
            _read_rest(lease.stream)
            lease.release()
        if retry.ignore_previous_hosts:
            # A host that could not even be connected to has left no lease.
            failed = lease.host if lease is not None else self.upstream.named(exchange.upstream_host)
            if failed is not None:
                self.avoid.append(failed)
        if self.upload is not None:
            await self.upload.stop()
        self.retrying = True
        self.upstream.retries += 1
        live = exchange.live
        pause = Pause()
        exchange.current = pause
        if exchange.failure is not None:
            raise exchange.failure
        await pause.wait(live.timers, retry.backoff(exchange.attempts, live.rng.random()))
        exchange.current = None
        if exchange.failure is not None:
            raise exchange.failure

    # Deadlines.

    def _request_complete(self) -> None:
        """The client has sent everything: the route's time begins."""
        exchange = self.exchange
        if self.timeout and not self.began:
            self.began = trio.current_time()
            exchange.deadline = exchange.live.timers.at(
                self.began + self.timeout,
                partial(exchange.abort, RouteTimeout()),
            )

    def _try_timed_out(self) -> None:
        current = self.exchange.current
        if current is not None:
            current.abort(TryTimeout())


def _refusal(error: Exception, lease: Lease | None) -> TlsAlert | None:
    """The alert by which a server refused us, when that is what a try's failure means."""
    if isinstance(error, TlsAlert):
        return error
    if isinstance(error.__cause__, TlsAlert):
        return error.__cause__
    if lease is None or lease.pooled.client.requests > 1 or lease.stream.connection.tls is None:
        return None
    try:
        # A send that failed may have left the alert unread.
        lease.stream.connection.receive_nowait()
    except TlsAlert as alert:
        return alert
    except (MeshdError, OSError, trio.ClosedResourceError, trio.BrokenResourceError):
        return None
    return None


def _read_rest(stream: ClientStream) -> None:
    """Take what is here of an answer that is not wanted, so that its connection may live on."""
    body = stream.body
    try:
        while not body.ended and body.receive_nowait():
            pass
    except MeshdError:
        return
