"""``meshd explain``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meshd.cli import options
from meshd.cli.output import coloured, emit_data

if TYPE_CHECKING:
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
    control: Annotated[
        str,
        typer.Option(
            "--control",
            metavar="URL",
            help="Ask a living control plane: https://HOST:15012, or its console at http://HOST:15014.",
            show_default="without --config, the control plane of this user on this machine",
        ),
    ] = "",
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
    if config and control:
        raise typer.BadParameter("give --config or --control, not both", param_hint="--config")
    if not config and (mesh_config or mesh_networks):
        raise typer.BadParameter("--mesh-config and --mesh-networks go with --config: a control plane has its own")
    place = control_place(control)
    flags: dict[str, Any] = {
        "from": sender,
        "through": through,
        "mode": mode,
        "labels": [each for text in labels or () for each in text.split(",")],
        "namespace": namespace,
        "proxy-ip": proxy_ip,
        "headers": list(header or ()),
        "address": address,
        "protocol": protocol,
        "tls": tls,
        "sni": sni,
        "alpn": alpn,
        "peer": peer,
        "client": client,
    }
    flags = {key: value for key, value in flags.items() if value}
    from meshd.explain.call import QuestionError
    from meshd.modes.explain import question, questions

    try:
        asked = questions(calls, flags) if calls else (question({**flags, "method": method, "url": url}),)
        texts = {"verbose": verbose, "colour": coloured(sys.stdout)} if form == "text" else None
        files = config or ()
        answers = (
            from_files(asked, files, mesh_config, mesh_networks, texts) if config else from_control(asked, place, texts)
        )
        served = True
        for number, answer in enumerate(answers):
            served = served and answer["served"]
            show(answer, form, first=not number, several=calls is not None)
    except QuestionError as error:
        raise typer.BadParameter(error.message) from error
    if not served:
        raise typer.Exit(NOT_SERVED)


def control_place(text: str) -> str:
    """``https://HOST:15012``, or ``http://HOST:15014`` for the console; "" stays."""
    if not text.startswith("http://"):
        return options.control_url(text)
    where = text.removeprefix("http://").rstrip("/")
    return f"http://{options.address(where if where.rpartition(':')[2].isdigit() else f'{where}:15014')}"


def from_files(
    asked: tuple[Question, ...],
    config: Sequence[Path],
    mesh_config: Path | None,
    mesh_networks: Path | None,
    texts: dict[str, bool] | None,
) -> Iterator[dict[str, Any]]:
    """Answers from files; documents that cannot be used are named on stderr."""
    from meshd.api.problem import Level
    from meshd.explain.explain import explain as explain_call
    from meshd.modes.explain import concerning, world_of

    world, findings = world_of(config, mesh_config, mesh_networks)
    said: set[str] = set()
    for finding in findings:
        if finding.level is Level.ERROR:
            print(f"meshd: left out: {finding}", file=sys.stderr)
    if not world.documents:
        print(f"meshd: no configuration in {', '.join(map(str, config))}: this is a mesh of nothing", file=sys.stderr)
    for question in asked:
        found = explain_call(world, question)
        for finding in concerning(findings, found, world):
            if str(finding) not in said:
                print(f"meshd: {finding}", file=sys.stderr)
                said.add(str(finding))
        answer = {"served": found.served, "explanation": found.to_json(), "text": None}
        if texts is not None:
            from meshd.explain.text import story

            answer["text"] = story(found, **texts)
        yield answer


def from_control(asked: tuple[Question, ...], place: str, texts: dict[str, bool] | None) -> list[dict[str, Any]]:
    """Answers of a living control plane; without a place, of this user's own on this machine."""
    from meshd.modes.explain_remote import ask

    return ask(place, asked, texts)


def show(answer: dict[str, Any], form: str, *, first: bool, several: bool) -> None:
    """Print one answer."""
    if form == "text":
        print(answer["text"] if first else f"\n{answer['text']}")
    elif form == "yaml":
        if several:
            print("---")
        emit_data("yaml", answer["explanation"])
    else:
        print(json.dumps(answer["explanation"], indent=None if several else 2))
