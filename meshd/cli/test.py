"""``meshd test``: cases written as YAML, played on virtual time."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshd.cli.options import chosen
from meshd.cli.output import emit_data

if TYPE_CHECKING:
    from meshd.testing.cases.form import Case
    from meshd.testing.cases.outcome import Played
    from meshd.testing.cases.playing import Options
    from meshd.testing.cases.reading import Suite

FAILED = 1
UNUSABLE_CONFIGURATION = 65
FORMATS = ("text", "json", "yaml")
HIGHEST_SEED = 2**31 - 1


def format_of(text: str) -> str:
    """The name of a format."""
    return chosen(text, FORMATS)


def play(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH...", exists=True, help="Files with cases, and directories of them."),
    ],
    config: Annotated[
        list[Path] | None,
        typer.Option(
            "--config",
            "-c",
            metavar="FILE_OR_DIR",
            exists=True,
            help="The configuration to test, in place of what the files name (repeatable).",
        ),
    ] = None,
    keyword: Annotated[
        str,
        typer.Option("-k", "--keyword", metavar="TEXT", help="Only cases with this in their (or their file's) name."),
    ] = "",
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed",
            metavar="N",
            min=0,
            max=HIGHEST_SEED,
            help="What all chance comes from.",
            show_default="the file's",
        ),
    ] = None,
    list_only: Annotated[
        bool, typer.Option("--list", envvar="MESHD_TEST_LIST", help="Name the cases and play none.")
    ] = False,
    junit: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Also write the results as JUnit XML.")
    ] = None,
    mesh_config: Annotated[
        Path | None, typer.Option("--mesh-config", metavar="FILE", exists=True, help="A MeshConfig for every file.")
    ] = None,
    mesh_networks: Annotated[
        Path | None, typer.Option("--mesh-networks", metavar="FILE", exists=True, help="MeshNetworks for every file.")
    ] = None,
    output: Annotated[
        str,
        typer.Option("--output", "-o", parser=format_of, metavar="text|json|yaml", help="For people, or for programs."),
    ] = "text",
) -> None:
    """Test a configuration: play cases against it, in a mesh inside this process.

    A case is a call and what should come of it. Proxies and control plane are the real ones; applications are
    scripted, time is virtual, chance is seeded. Exit code 0: every case passes; 1: one fails; 65: cases or
    configuration cannot be used.

    Example: meshd test mesh/ --junit results.xml
    """
    from meshd.testing.cases.playing import Options
    from meshd.testing.cases.reading import read

    found = read(paths)
    for finding in found.findings:
        print(f"meshd: {finding}", file=sys.stderr)
    if not found.suites and not found.findings:
        where = ", ".join(map(str, paths))
        print(f"meshd: {where}: no document of kind MeshTest (apiVersion meshd.dev/v1)", file=sys.stderr)
        raise typer.Exit(UNUSABLE_CONFIGURATION)
    selected = [(suite, cases) for suite in found.suites if (cases := _chosen(suite, keyword))]
    if found.suites and not selected:
        raise typer.BadParameter(f"no case has {keyword!r} in its name", param_hint="-k")
    code = 0
    if list_only:
        _list(selected, output)
    elif selected:
        options = Options(tuple(config or ()), mesh_config, mesh_networks, seed)
        code = _run(selected, options, output, junit)
    raise typer.Exit(UNUSABLE_CONFIGURATION if found.findings else code)


def _chosen(suite: Suite, keyword: str) -> list[Case]:
    wanted = keyword.lower()
    if wanted in suite.name.lower() or wanted in suite.file.name.lower():
        return list(suite.test.cases)
    return [case for case in suite.test.cases if wanted in case.name.lower()]


def _list(selected: Sequence[tuple[Suite, Sequence[Case]]], output: str) -> None:
    rows = [
        {"suite": suite.name, "case": case.name, "reference": str(suite.place("cases", suite.test.cases.index(case)))}
        for suite, cases in selected
        for case in cases
    ]
    if output != "text":
        emit_data(output, rows)
        return
    for row in rows:
        print(f"{row['reference']}: {row['suite']}: {row['case']}")


def _run(selected: Sequence[tuple[Suite, Sequence[Case]]], options: Options, output: str, junit: Path | None) -> int:
    import time

    from meshd.testing.cases import playing, report

    began = time.perf_counter()
    played: list[Played] = []
    with _silence():
        for suite, cases in selected:
            played.append(playing.play(suite, cases, options))
            if output == "text":
                print("\n".join(report.text(played[-1:])), flush=True)
    if output == "text":
        print(report.summary(played, time.perf_counter() - began))
    else:
        emit_data(output, report.to_json(played))
    if junit is not None:
        _write(junit, report.junit(played))
    if any(each.findings for each in played):
        return UNUSABLE_CONFIGURATION
    return 0 if all(outcome.passed for each in played for outcome in each.outcomes) else FAILED


@contextmanager
def _silence() -> Iterator[None]:
    """What proxies have to say of what is done to them on purpose is not the tests' result."""
    import logging

    logger = logging.getLogger("meshd")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}", param_hint="--junit") from error
