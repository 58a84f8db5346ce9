"""``meshd sidecar``."""

from __future__ import annotations

from typing import Annotated

import typer

from meshd.cli import options
from meshd.modes.settings import DRAIN_TIMEOUT, Listening, ServiceBind, SidecarSettings, Workload
from meshd.net.address import Address


def sidecar(
    upstream: Annotated[
        Address | None,
        typer.Option(
            "--upstream",
            parser=options.address,
            metavar="[HOST]:PORT",
            help="The service this sidecar stands beside; without a host it is on 127.0.0.1.",
        ),
    ] = None,
    service: Annotated[
        str, typer.Option("--service", metavar="NAME", help="Name of the service, as others call it.")
    ] = "",
    version: Annotated[str, typer.Option("--version", metavar="V", help="The label `version`.")] = "",
    inbound: Annotated[
        Listening | None,
        typer.Option(
            "--inbound",
            parser=options.listening,
            metavar="ADDR",
            help="Where other proxies reach this service.",
            show_default=":15006, or the next free port",
        ),
    ] = None,
    outbound: Annotated[
        Listening | None,
        typer.Option(
            "--outbound",
            parser=options.listening,
            metavar="ADDR",
            help="Where the service calls others: a Host header names whom, or use it as HTTP_PROXY.",
            show_default="127.0.0.1:15001, or the next free port",
        ),
    ] = None,
    bind: Annotated[
        list[ServiceBind] | None,
        typer.Option(
            "--bind",
            parser=options.service_bind,
            metavar="SERVICE:PORT=ADDR",
            help="A local port for one service of the mesh (repeatable).",
        ),
    ] = None,
    advertise: Annotated[
        Address | None,
        typer.Option(
            "--advertise",
            parser=options.address,
            metavar="ADDR",
            help="The address others are told, when it is not the one this machine talks to the control plane from.",
        ),
    ] = None,
    dns: Annotated[
        Listening | None,
        typer.Option(
            "--dns",
            parser=options.listening,
            metavar="ADDR",
            help="Answer questions for names here: the mesh's own, and all others by asking the servers of "
            "/etc/resolv.conf (`meshd capture install --dns` leads programs here; its port is 15053).",
            show_default="off",
        ),
    ] = None,
    control: options.ControlOption = "",
    token: options.TokenOption = "",
    token_file: options.TokenFileOption = None,
    trust_bundle: options.TrustBundleOption = None,
    ca_hash: options.CaHashOption = "",
    namespace: options.NamespaceOption = "default",
    service_account: options.ServiceAccountOption = "",
    label: options.LabelsOption = None,
    config: options.ConfigOption = None,
    state: options.StateOption = None,
    admin: options.AdminOption = None,
    health: options.HealthOption = None,
    stats: options.StatsOption = None,
    limit: options.LimitOption = None,
    drain_timeout: options.DrainTimeoutOption = DRAIN_TIMEOUT,
    access_log: options.AccessLogOption = "-",
    log_format: options.LogFormatOption = "text",
    log_level: options.LogLevelOption = "info",
) -> None:
    """Run the proxy beside one service.

    It takes in what is meant for the service and carries out what the service
    asks of others, with mutual TLS, routing and policy as the control plane says.
    Without a control plane and without --config it is a plain proxy.

    Example: meshd sidecar --upstream :8080 --service reviews --version v1
    """
    if upstream is None and not service and not config:
        raise typer.BadParameter("give --upstream [HOST]:PORT, the service to stand beside", param_hint="--upstream")
    if upstream is not None and upstream.port == 0:
        raise typer.BadParameter("port 0 is where nobody listens", param_hint="--upstream")
    if config and control:
        raise typer.BadParameter("give --control or --config, not both", param_hint="--config")
    labels = dict(label or [])
    if version:
        labels["version"] = version
    plain = SidecarSettings()
    settings = SidecarSettings(
        upstream=Address(upstream.host or "127.0.0.1", upstream.port) if upstream else None,
        inbound=inbound or plain.inbound,
        outbound=outbound or plain.outbound,
        binds=tuple(bind or ()),
        advertise=advertise,
        dns=dns,
        control=options.control_access(control, token, token_file, trust_bundle, ca_hash),
        workload=Workload(namespace, service_account, service, tuple(sorted(labels.items()))),
        config=tuple(config or ()),
        state=state,
        admin=admin or plain.admin,
        health=health or plain.health,
        stats=stats or plain.stats,
        limits=tuple(limit or ()),
        drain_timeout=drain_timeout,
        logging=options.logging_of(log_format, log_level, access_log),
    )
    from meshd.modes.sidecar import run

    run(settings)
