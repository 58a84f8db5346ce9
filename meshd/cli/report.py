"""Findings for people: by file, aligned, with what to do about them at the end. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence

import attrs

from meshd.api.document import printable
from meshd.api.problem import KIND_OF_NO_CONCERN, Level
from meshd.control.analysis.advice_form import Advice
from meshd.control.analysis.codes import CODES
from meshd.control.finding import Finding

COLOURS = {Level.ERROR: "31", Level.WARNING: "33", Level.INFO: "36"}
BOLD, DIM = "1", "2"

MOST_ALIKE = 3
"""Infos of one code in one file; the others are counted."""
COUNTED = frozenset({KIND_OF_NO_CONCERN})
"""Codes of which people only want to know how often."""


@attrs.frozen
class Style:
    """How to write. ``width``: of a line, 0 for as long as it gets."""

    colour: bool = False
    width: int = 0

    def paint(self, text: str, colour: str) -> str:
        """Text in a colour of the terminal."""
        return f"\x1b[{colour}m{text}\x1b[0m" if self.colour else text


def lines(findings: Sequence[Finding], advice: Mapping[str, Advice], style: Style) -> Iterator[str]:
    """The whole report, but for its last line."""
    files: dict[str, list[Finding]] = {}
    for finding in sorted(findings, key=lambda each: (each.origin, each.sort_key)):
        files.setdefault(finding.origin.file, []).append(finding)
    for file, own in files.items():
        yield style.paint(printable(file) or "(nowhere)", BOLD)
        yield from _file(own, style)
        yield ""
    remedies = [(code, advice[code].remedy) for code in _codes(findings) if code in advice and advice[code].remedy]
    if remedies:
        yield style.paint("What to do", BOLD)
        for code, remedy in remedies:
            yield from _wrapped(f"  {code}  ", remedy, style)
        yield ""


def _codes(findings: Iterable[Finding]) -> list[str]:
    """Every code, the worst first."""
    return list(dict.fromkeys(finding.code for finding in sorted(findings, key=lambda each: each.sort_key)))


def _file(findings: Sequence[Finding], style: Style) -> Iterator[str]:
    shown, hidden = _condensed(findings)
    places = [_place(finding) for finding in shown]
    place_width = max((len(place) for place in places), default=0)
    level_width = max((len(finding.level) for finding in shown), default=0)
    for place, finding in zip(places, shown, strict=True):
        level = style.paint(f"{finding.level:<{level_width}}", COLOURS[finding.level])
        yield f"  {style.paint(f'{place:<{place_width}}', DIM)}  {level}  {finding.code}  {finding.resource}".rstrip()
        indent = " " * (place_width + 4)
        message = f"{finding.path}: {finding.message}" if finding.path else finding.message
        yield from _wrapped(indent, message, style)
    for code, number in hidden.items():
        name = CODES[code].name if code in CODES else ""
        more = "" if code in COUNTED else "more "
        yield style.paint(f"  {number} {more}{code} {name} (all with -o json)", DIM)


def _place(finding: Finding) -> str:
    origin = finding.origin
    if not origin.line:
        return "-"
    return f"{origin.line}:{origin.column}" if origin.column else str(origin.line)


def _condensed(findings: Sequence[Finding]) -> tuple[list[Finding], dict[str, int]]:
    """What to show, and how much of each code was left out."""
    shown: list[Finding] = []
    seen: dict[str, int] = {}
    for finding in findings:
        if finding.level is Level.INFO:
            seen[finding.code] = seen.get(finding.code, 0) + 1
            if seen[finding.code] > _most(finding.code):
                continue
        shown.append(finding)
    return shown, {code: number - _most(code) for code, number in seen.items() if number > _most(code)}


def _most(code: str) -> int:
    return 0 if code in COUNTED else MOST_ALIKE


def _wrapped(indent: str, text: str, style: Style) -> Iterator[str]:
    """Text behind an indent, broken where the line ends; nothing within a word is broken."""
    if style.width < len(indent) + 20:
        yield indent + text
        return
    yield from textwrap.wrap(
        text,
        style.width,
        initial_indent=indent,
        subsequent_indent=" " * len(indent),
        break_long_words=False,
        break_on_hyphens=False,
    )


def summary(findings: Sequence[Finding], what: str, suppressed: int) -> str:
    """``2 errors, 1 warning in 14 documents of 3 files (1 suppressed)``."""
    numbers = []
    for level in (Level.ERROR, Level.WARNING, Level.INFO):
        number = sum(finding.level is level for finding in findings)
        if number:
            numbers.append(f"{number} {level.lower()}{'' if number == 1 else 's'}")
    quiet = f" ({suppressed} suppressed)" if suppressed else ""
    return f"{', '.join(numbers) or 'No problems'} in {what}{quiet}."


def log_line(finding: Finding) -> str:
    """One finding as istioctl writes it."""
    where = printable(str(finding.origin))
    named = " ".join(part for part in (finding.resource, where) if part)
    message = f"{finding.path}: {finding.message}" if finding.path else finding.message
    return f"{finding.level.value} [{finding.code}] ({named}) {message}"
