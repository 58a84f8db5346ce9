"""From what the sources say to one set of documents. Pure.

Two steps. ``settle`` takes one source's new set and gives its *good* entries:
an object whose new form is bad keeps its last good one, and an object is gone
only when its source looked everywhere and did not see it. ``combine`` puts the
sources together: of an object defined twice the newer file wins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

import attrs

from meshd.api.document import Document, Key
from meshd.api.problem import Level
from meshd.control.finding import DEFINED_TWICE, LAST_GOOD_IN_FORCE, Finding
from meshd.control.sources.source import Entry, SourceSet

Good: TypeAlias = Mapping[tuple[Key, str], Entry]
"""The usable entries of one source, by object and file."""


@attrs.frozen
class Settled:
    """One source after its latest set."""

    good: Good = attrs.field(factory=dict)
    findings: tuple[Finding, ...] = ()


@attrs.frozen
class Merged:
    """All documents in force, in the order of their keys, and everything found."""

    documents: tuple[Document, ...] = ()
    findings: tuple[Finding, ...] = ()


def settle(previous: Good, incoming: SourceSet) -> Settled:
    """What is in force of a source.

    Args:
        previous: What was in force before; at the start of a process, what the source remembers takes its place.
        incoming: What the source says now.
    """
    good: dict[tuple[Key, str], Entry] = {}
    findings = list(incoming.findings)
    broken: dict[tuple[Key, str], Entry] = {}
    repeated: list[tuple[tuple[Key, str], Entry]] = []
    for entry in incoming.entries:
        findings += entry.findings
        if entry.key is None:
            continue
        place = (entry.key, entry.file)
        if entry.document is None:
            broken.setdefault(place, entry)
            continue
        if place in good:
            repeated.append((place, good[place]))
        good[place] = entry
    findings += [_defined_twice(entry, good[place], "comes later in the file") for place, entry in repeated]
    remembered = {(entry.key, entry.file): entry for entry in incoming.remembered if entry.key is not None}
    for place, last in (previous or remembered).items():
        if place in good:
            continue
        if place in broken:
            good[place] = last
            findings.append(_last_good(broken[place], last))
        elif incoming.is_unsure_of(place[1]):
            good[place] = last
    return Settled(good, tuple(findings))


def combine(settled: Iterable[Settled]) -> Merged:
    """Every source's good entries as one set, each object once."""
    claims: dict[Key, list[Entry]] = {}
    findings: list[Finding] = []
    for each in settled:
        findings += each.findings
        for (key, _), entry in each.good.items():
            claims.setdefault(key, []).append(entry)
    documents: list[Document] = []
    for _, entries in sorted(claims.items(), key=lambda item: attrs.astuple(item[0])):
        *losers, winner = sorted(entries, key=_age)
        assert winner.document is not None
        documents.append(winner.document)
        for loser in losers:
            if not loser.modified and winner.modified:
                # Nobody wrote it: meshd made it, and makes it no more once it knows of the other.
                continue
            why = "is newer" if winner.modified > loser.modified else "comes later by name"
            findings.append(_defined_twice(loser, winner, why))
    return Merged(tuple(documents), tuple(sorted(set(findings), key=lambda finding: finding.sort_key)))


def _age(entry: Entry) -> tuple[float, str]:
    """Sorts what wins last: the newer file, and of equally new ones the last by name (as ``kubectl apply`` does)."""
    return (entry.modified, entry.file)


def _defined_twice(loser: Entry, winner: Entry, why: str) -> Finding:
    assert loser.document is not None
    assert winner.document is not None
    return Finding(
        DEFINED_TWICE,
        Level.WARNING,
        f"this object is also defined in {winner.document.origin}, which {why} and wins; remove one of them",
        str(loser.key),
        loser.document.origin,
    )


def _last_good(broken: Entry, last: Entry) -> Finding:
    assert last.document is not None
    return Finding(
        LAST_GOOD_IN_FORCE,
        Level.INFO,
        "until this is mended, the last good form stays in force",
        str(last.key),
        broken.findings[0].origin if broken.findings else last.document.origin,
    )
