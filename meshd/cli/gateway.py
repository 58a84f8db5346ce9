"""``meshd gateway``."""

from __future__ import annotations

from typing import Annotated

import typer

from meshd.cli import options
from meshd.modes.settings import DRAIN_TIMEOUT, GatewaySettings, PortMap, Workload

INGRESS = options.Label("istio", "ingressgateway")


def gateway(
    port: Annotated[
        list[PortMap] | None,
        typer.Option(
            "--port",
            "-p",
            parser=options.port_map,
            metavar="N=ADDR",
            help="Where a Gateway server's port is really bound, as in 80=:8080 (repeatable).",
        ),
    ] = None,
    config: options.ConfigOption = None,
    control: options.ControlOption = "",
    token: options.TokenOption = "",
    token_file: options.TokenFileOption = None,
    trust_bundle: options.TrustBundleOption = None,
    ca_hash: options.CaHashOption = "",
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="Name of the gateway's workload.")
    ] = "istio-ingressgateway",
    namespace: options.NamespaceOption = "istio-system",
    service_account: options.ServiceAccountOption = "",
    label: options.LabelsOption = None,
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
    """Run the gateway at the edge of the mesh.

    What it serves is said by Gateway and VirtualService objects whose selector
    matches its labels (istio=ingressgateway unless --label says otherwise): from
    files with --config, where no control plane is needed, or from the control plane.

    Example: meshd gateway --config ingress.yaml --port 80=:8080
    """
    if config and control:
        raise typer.BadParameter("give --control or --config, not both", param_hint="--config")
    plain = GatewaySettings()
    settings = GatewaySettings(
        ports=tuple(port or ()),
        control=options.control_access(control, token, token_file, trust_bundle, ca_hash),
        workload=Workload(namespace, service_account, name, tuple(sorted(dict(label or [INGRESS]).items()))),
        config=tuple(config or ()),
        state=state,
        admin=admin or plain.admin,
        health=health or plain.health,
        stats=stats or plain.stats,
        limits=tuple(limit or ()),
        drain_timeout=drain_timeout,
        logging=options.logging_of(log_format, log_level, access_log),
    )
    from meshd.modes.gateway import run

    run(settings)
