"""The data plane's own metrics (CONTRACT section 8: ``meshd_...``). Children are resolved here, once."""

from __future__ import annotations

from meshd.telemetry.metrics import Registry


class ProxyCounters:
    """Connections, refusals and bugs of one engine."""

    def __init__(self, registry: Registry) -> None:
        self.accepted = registry.counter("meshd_downstream_connections_total", "Connections accepted.", ("listener",))
        self.open = registry.gauge("meshd_downstream_connections", "Connections open now.", ("listener",))
        self.refused = registry.counter(
            "meshd_downstream_connections_refused_total",
            "Connections closed before their first request, and why.",
            ("listener", "reason"),
        )
        self.bugs = registry.counter("meshd_bugs_total", "Exceptions that should not have happened.").labels()
        self.broken_requests = registry.counter(
            "meshd_downstream_protocol_errors_total", "Requests that broke the protocol.", ("listener",)
        )
        self.misdirected = registry.counter(
            "meshd_downstream_misdirected_requests_total",
            "Requests for a host of another server than their TLS connection was made to (421).",
            ("listener",),
        )
        self.overloaded = registry.counter(
            "meshd_overload_requests_refused_total", "Requests refused for want of memory (503, OM).", ("listener",)
        )
        self.overload = registry.gauge(
            "meshd_overload_active", "Whether requests are refused for want of memory (1) or not (0)."
        ).labels()
        self.aged = registry.counter(
            "meshd_downstream_connections_aged_total",
            "Connections asked to end because they had become old.",
            ("listener",),
        )
        self.slow_bodies = registry.counter(
            "meshd_downstream_slow_bodies_total", "Request bodies that came too slowly (408).", ("listener",)
        )
