"""``meshd explain``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshd.cli import options
from meshd.cli.output import coloured, emit_data
from meshd.errors import ConfigError

if TYPE_CHECKING:
    from meshd.explain.explain import Explanation
    from meshd.explain.question import Question

NOT_SERVED = 3
FORMATS = ("text", "json", "yaml")


def explain(
    method: Annotated[str, typer.Argument(metavar="METHOD", show_default=False, help="GET, POST, ...")] = "",
    url: Annotated[
        str, typer.Argument(metavar="URL", show_default=False, help="http://reviews:9080/reviews/0; tcp:// for bytes.")
    ] = "",
    config: Annotated[
        list[Path] | None,
        typer.Option(
            "--config", "-c", metavar="PATH", help="Files and directories of configuration; `-` is stdin (repeatable)."
        ),
    ] = None,
    sender: Annotated[
        str,
        typer.Option(
            "--from",
            envvar="MESHD_EXPLAIN_FROM",
            metavar="NAMESPACE/ACCOUNT",
            help="Who calls: its sidecar decides, then the server's.",
        ),
    ] = "",
    through: Annotated[
        str, typer.Option("--through", metavar="NAME", help="Through which gateway, as in ingressgateway.")
    ] = "",
    mode: Annotated[
        str,
        typer.Option("--mode", metavar="outbound|inbound|gateway", help="Exactly one proxy's decision, and which way."),
    ] = "",
    labels: Annotated[
        list[str] | None, typer.Option("--labels", "-l", metavar="KEY=VALUE", help="Labels of the proxy (repeatable).")
    ] = None,
    namespace: Annotated[str, typer.Option("--namespace", "-n", metavar="NAME", help="Namespace of the proxy.")] = "",
    proxy_ip: Annotated[str, typer.Option("--proxy-ip", metavar="IP", help="Address of the proxy's workload.")] = "",
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", metavar="'NAME: VALUE'", help="A header (repeatable).")
    ] = None,
    address: Annotated[
        str,
        typer.Option("--address", metavar="IP:PORT", help="Where the client connects to.", show_default="from the URL"),
    ] = "",
    protocol: Annotated[
        str, typer.Option("--protocol", metavar="http|http2|tcp", help="What the client speaks.", show_default="http")
    ] = "",
    tls: Annotated[
        str,
        typer.Option("--tls", metavar="plaintext|tls|mtls", help="How it is secured.", show_default="tls for https"),
    ] = "",
    sni: Annotated[
        str, typer.Option("--sni", metavar="NAME", help="The server name of TLS.", show_default="the URL's host")
    ] = "",
    alpn: Annotated[str, typer.Option("--alpn", metavar="LIST", help="What TLS offers, with commas.")] = "",
    peer: Annotated[
        str, typer.Option("--peer", metavar="SPIFFE-ID", help="Who the client proves to be (--tls mtls).")
    ] = "",
    client: Annotated[str, typer.Option("--client", metavar="IP", help="The address the client calls from.")] = "",
    calls: Annotated[
        Path | None,
        typer.Option("--calls", metavar="FILE", help="A YAML list of calls with these options; `-` is stdin."),
    ] = None,
    mesh_config: Annotated[Path | None, typer.Option("--mesh-config", metavar="FILE", help="MeshConfig.")] = None,
    mesh_networks: Annotated[Path | None, typer.Option("--mesh-networks", metavar="FILE", help="MeshNetworks.")] = None,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="|".join(FORMATS),
            help="For people, or for programs.",
            show_default="text; json for --calls",
        ),
    ] = "",
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Everything that was looked at, and the headers.")
    ] = False,
) -> None:
    """Say what happens to a request, rule by rule, and why. No traffic is sent.

    The code that routes and authorizes decides, with a recorder on. Exit code 0:
    it is served; 3: it is denied, or goes nowhere.

    Example: meshd explain GET http://reviews:9080/ --config mesh/ --from default/productpage -H 'end-user: jason'
    """
    form = options.chosen(output or ("json" if calls else "text"), FORMATS)
    if (calls is None) == (not url):
        raise typer.BadParameter("give METHOD and URL, or --calls FILE", param_hint="URL")
    if not config:
        raise typer.BadParameter("give the configuration: --config PATH", param_hint="--config")
    from meshd.explain.call import Told
    from meshd.explain.question import Question, pair

    try:
        if calls is None:
            told = Told(
                headers=tuple(pair(each, ":") for each in header or ()),
                address=address,
                protocol=protocol,
                tls=tls,
                sni=sni,
                alpn=alpn,
                peer=peer,
                client=client,
            )
            found = tuple(pair(each, "=") for text in labels or () for each in text.split(","))
            asked: tuple[Question, ...] = (
                Question(method, url, sender, through, mode, found, namespace, proxy_ip, told),
            )
            asked[0].call()
        else:
            from meshd.modes.explain import questions

            asked = questions(calls)
    except ConfigError as error:
        raise typer.BadParameter(error.message) from error
    served = answer(asked, config, mesh_config, mesh_networks, form, verbose=verbose, several=calls is not None)
    if not served:
        raise typer.Exit(NOT_SERVED)


def answer(
    asked: tuple[Question, ...],
    config: list[Path],
    mesh_config: Path | None,
    mesh_networks: Path | None,
    form: str,
    *,
    verbose: bool,
    several: bool,
) -> bool:
    """Explain and print; whether every call is served."""
    from meshd.explain.explain import explain as explain_call
    from meshd.modes.explain import world_of

    world, errors = world_of(config, mesh_config, mesh_networks)
    for finding in errors:
        print(f"meshd: left out: {finding}", file=sys.stderr)
    served = True
    for number, question in enumerate(asked):
        found = explain_call(world, question)
        served = served and found.served
        if number and form == "text":
            print()
        show(found, form, verbose=verbose, several=several)
    return served


def show(found: Explanation, form: str, *, verbose: bool, several: bool) -> None:
    """Print one explanation."""
    if form == "text":
        from meshd.explain.text import story

        print(story(found, verbose=verbose, colour=coloured(sys.stdout)))
    elif form == "yaml":
        if several:
            print("---")
        emit_data("yaml", found.to_json())
    else:
        print(json.dumps(found.to_json(), indent=None if several else 2))
