"""``meshd control``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from meshd.cli import options
from meshd.modes.settings import CaFiles, ControlSettings, Listening


def control(
    store: Annotated[
        Path, typer.Option("--store", metavar="DIR", help="The directory of YAML that configures the mesh; watched.")
    ],
    listen: Annotated[
        Listening | None,
        typer.Option(
            "--listen",
            parser=options.listening,
            metavar="ADDR",
            help="HTTPS for proxies: configuration, certificates, registration.",
            show_default=":15012, or the next free port",
        ),
    ] = None,
    console: Annotated[
        Listening | None,
        typer.Option(
            "--console",
            parser=options.listening_or_off,
            metavar="ADDR",
            help="/ready, /metrics and debug pages; `off` for none.",
            show_default="127.0.0.1:15014, or the next free port",
        ),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            "--state",
            metavar="DIR",
            help="CA key, tokens, registrations and audit log; mode 0700.",
            show_default="~/.local/state/meshd/control",
        ),
    ] = None,
    trust_domain: Annotated[
        str,
        typer.Option(
            "--trust-domain", parser=options.trust_domain, metavar="DOMAIN", help="Trust domain of every identity."
        ),
    ] = "cluster.local",
    certificate_ttl: Annotated[
        float,
        typer.Option(
            "--certificate-ttl",
            parser=options.seconds,
            metavar="DURATION",
            help="How long a workload's certificate is valid; it is renewed at half of that.",
            show_default="24h",
        ),
    ] = 24 * 3600.0,
    ca_cert: Annotated[
        Path | None,
        typer.Option(
            "--ca-cert",
            metavar="FILE",
            help="Sign with this CA certificate (PEM) instead of a root of our own; needs --ca-key.",
        ),
    ] = None,
    ca_key: Annotated[
        Path | None, typer.Option("--ca-key", metavar="FILE", help="The key of --ca-cert (PEM, not encrypted).")
    ] = None,
    ca_chain: Annotated[
        Path | None,
        typer.Option(
            "--ca-chain", metavar="FILE", help="What stands above --ca-cert, up to its root (PEM); not for a root."
        ),
    ] = None,
    log_format: options.LogFormatOption = "text",
    log_level: options.LogLevelOption = "info",
) -> None:
    """Run the control plane: it reads the store, issues certificates and tells every proxy what to do.

    Example: meshd control --store mesh/
    """
    if certificate_ttl < 1.0:
        raise typer.BadParameter("a certificate must be valid for a second at least", param_hint="--certificate-ttl")
    plain = ControlSettings(store=store)
    settings = ControlSettings(
        store=store,
        state=state,
        listen=listen or plain.listen,
        console=console or plain.console,
        trust_domain=trust_domain,
        certificate_ttl=certificate_ttl,
        ca=_ca_files(ca_cert, ca_key, ca_chain),
        logging=options.logging_of(log_format, log_level),
    )
    from meshd.modes.control import run

    run(settings)


def _ca_files(certificate: Path | None, key: Path | None, chain: Path | None) -> CaFiles | None:
    if certificate is not None and key is not None:
        return CaFiles(certificate, key, chain)
    for given, name, lacking in (
        (certificate, "--ca-cert", "--ca-key"),
        (key, "--ca-key", "--ca-cert"),
        (chain, "--ca-chain", "--ca-cert and --ca-key"),
    ):
        if given is not None:
            raise typer.BadParameter(f"{lacking} must be given too", param_hint=name)
    return None
