"""``meshd analyze``."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshd.cli.options import chosen
from meshd.cli.output import coloured, emit, emit_data
from meshd.errors import ConfigError

if TYPE_CHECKING:
    from meshd.control.analysis.suppression import Suppression
    from meshd.control.finding import Finding
    from meshd.modes.analysis import Report

PROBLEMS_FOUND = 1
UNUSABLE_CONFIGURATION = 65
FORMATS = ("table", "log", "json", "yaml")
LEVELS = ("Info", "Warning", "Error")


def format_of(text: str) -> str:
    """The name of a format."""
    return chosen(text, FORMATS)


def level_of(text: str) -> str:
    """The name of a level, however it is written."""
    return chosen(text.capitalize(), LEVELS)


def suppression_of(text: str) -> Suppression:
    """``CODE=KIND NAMESPACE/NAME``."""
    from meshd.control.analysis.suppression import Suppression

    try:
        return Suppression.parse(text)
    except ConfigError as error:
        raise typer.BadParameter(error.message) from error


def analyzer_of(text: str) -> str:
    """The name of an analyzer."""
    from meshd.modes.analysis import analyzer_named

    name = analyzer_named(text)
    if name is None:
        raise typer.BadParameter(f"{text!r} is no analyzer; --list-analyzers names them")
    return name


def analyze(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH...", help="Files and directories of YAML; `-` is standard input."),
    ] = None,
    output: Annotated[
        str,
        typer.Option(
            "--output", "-o", parser=format_of, metavar="table|log|json|yaml", help="For people, or for programs."
        ),
    ] = "table",
    failure_threshold: Annotated[
        str,
        typer.Option(
            "--failure-threshold",
            parser=level_of,
            metavar="|".join(LEVELS),
            help="From which level on a finding makes the command fail.",
        ),
    ] = "Error",
    output_threshold: Annotated[
        str,
        typer.Option(
            "--output-threshold",
            parser=level_of,
            metavar="|".join(LEVELS),
            help="From which level on to show findings.",
        ),
    ] = "Info",
    suppress: Annotated[
        list[str] | None,
        typer.Option(
            "--suppress",
            "-S",
            parser=suppression_of,
            metavar="CODE=RESOURCE",
            help="Findings to leave out, as in 'IST0118=Service default/*' (repeatable). An object asks for the same by "
            "the annotation galley.istio.io/analyze-suppress.",
        ),
    ] = None,
    namespace: Annotated[
        str,
        typer.Option(
            "--namespace",
            "-n",
            metavar="NAME",
            help="The namespace of documents that name none, and the only one to hear of.",
            show_default="default, and all are heard of",
        ),
    ] = "",
    all_namespaces: Annotated[
        bool,
        typer.Option("--all-namespaces", "-A", help="Hear of all namespaces, whatever --namespace says."),
    ] = False,
    mesh_config: Annotated[
        Path | None,
        typer.Option("--mesh-config", metavar="FILE", help="A MeshConfig, or the ConfigMap that holds it."),
    ] = None,
    mesh_networks: Annotated[
        Path | None,
        typer.Option("--mesh-networks", metavar="FILE", help="MeshNetworks, or the ConfigMap that holds it."),
    ] = None,
    recursive: Annotated[
        bool,
        typer.Option("--recursive/--no-recursive", "-R", help="Read directories in directories too."),
    ] = True,
    ignore_unknown: Annotated[
        bool,
        typer.Option("--ignore-unknown", help="Say nothing of files and documents that are no configuration."),
    ] = False,
    analyzer: Annotated[
        list[str] | None,
        typer.Option("--analyzer", parser=analyzer_of, metavar="NAME", help="Run only this analyzer (repeatable)."),
    ] = None,
    list_analyzers: Annotated[
        bool, typer.Option("--list-analyzers", "-L", help="Name the analyzers and what they check, and stop.")
    ] = False,
) -> None:
    """Validate and analyse configuration without a mesh: Istio's codes and meshd's own.

    Exit code 1 when something of the failure threshold was found, 65 when a file could not be read at all.
    """
    from datetime import UTC, datetime

    from meshd.modes.analysis import Request, analyse

    if list_analyzers:
        _list(output)
        return
    if not paths:
        raise typer.BadParameter("give files or directories to analyse; `-` is standard input", param_hint="PATH...")
    request = Request(
        paths=tuple(paths),
        mesh_config=mesh_config,
        mesh_networks=mesh_networks,
        namespace=namespace,
        everywhere=all_namespaces,
        suppress=tuple(suppress or ()),  # type: ignore[arg-type]
        analyzers=tuple(analyzer or ()),
        recursive=recursive,
        ignore_unknown=ignore_unknown,
    )
    report = analyse(request, datetime.now(UTC))
    _print(report, [each for each in report.findings if _reaches(each, output_threshold)], output)
    if report.unreadable:
        raise typer.Exit(UNUSABLE_CONFIGURATION)
    if any(_reaches(each, failure_threshold) for each in report.findings):
        raise typer.Exit(PROBLEMS_FOUND)


def _reaches(finding: Finding, threshold: str) -> bool:
    return LEVELS.index(finding.level.value) >= LEVELS.index(threshold)


def _list(output: str) -> None:
    from meshd.modes.analysis import catalog

    rows = [
        {"name": analysis.name, "codes": list(analysis.codes), "checks_that": analysis.about} for analysis in catalog()
    ]
    if output in {"table", "log"}:
        people = [{**row, "codes": " ".join(row["codes"])} for row in rows]
        emit("table", ("name", "codes", "checks_that"), people, empty="there are none")
    else:
        emit_data(output, rows)


def _print(report: Report, shown: list[Finding], output: str) -> None:
    from meshd.cli.report import Style, lines, log_line, summary
    from meshd.modes.analysis import documents_of

    match output:
        case "table":
            from meshd.control.analysis.advice import ADVICE

            width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
            for line in lines(shown, ADVICE, Style(coloured(sys.stdout), width)):
                print(line)
            print(summary(shown, documents_of(report), report.suppressed))
        case "log":
            for finding in shown:
                print(log_line(finding))
        case _:
            emit_data(output, [finding.to_json() for finding in shown])
