"""From the rules that a machine has to those it shall have, in one step. Pure.

A table is replaced as a whole, so there is no moment in which nothing is
captured. Everything in chains of our own is ours, and so is what leads to them;
other rules in the kernel's chains are ours where a note says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import attrs

from meshd.proxy.capture.plan import BUILT_IN, PREFIX, Rules, render

Note = Mapping[str, tuple[str, ...]]
"""Rules in the kernel's chains by table, as ``iptables-save`` writes them."""


@attrs.frozen
class Saved:
    """What ``iptables-save`` says of one address family."""

    chains: Mapping[str, tuple[str, ...]]
    """By table."""
    rules: Mapping[str, tuple[str, ...]]
    """By table: ``-A CHAIN ...``."""

    @property
    def captures(self) -> bool:
        """Are there chains of ours?"""
        return any(chain.startswith(PREFIX) for chains in self.chains.values() for chain in chains)


def parse(text: str) -> Saved:
    """Read what ``iptables-save`` wrote."""
    chains: dict[str, list[str]] = {}
    rules: dict[str, list[str]] = {}
    table = ""
    for line in text.splitlines():
        if line.startswith("*"):
            table = line[1:].strip()
        elif line.startswith(":"):
            chains.setdefault(table, []).append(line[1:].split()[0])
        elif line.startswith("-A "):
            rules.setdefault(table, []).append(line)
    return Saved(
        {each: tuple(found) for each, found in chains.items()},
        {each: tuple(found) for each, found in rules.items()},
    )


def transition(saved: Saved, note: Note, wanted: Rules) -> str:
    """What takes every rule of ours away and puts the wanted ones there, for ``iptables-restore --noflush``."""
    lines = _removal(saved, note)
    for table, added in wanted.tables().items():
        lines[table] = lines.get(table, []) + added
    return render({table: each for table, each in lines.items() if each})


def note_of(before: Saved, note: Note, after: Saved) -> Note:
    """The rules in the kernel's chains that were added between two looks.

    Args:
        before: How it was.
        note: What was ours then, and is not there any more.
        after: How it is.
    """
    added: dict[str, tuple[str, ...]] = {}
    for table, rules in after.rules.items():
        others = Counter(_foreign(before, note, table))
        mine = [rule for rule in rules if rule.split()[1] in BUILT_IN and not _is_other(rule, others)]
        if mine:
            added[table] = tuple(mine)
    return added


def _is_other(rule: str, others: Counter[str]) -> bool:
    if not others[rule]:
        return False
    others[rule] -= 1
    return True


def _foreign(saved: Saved, note: Note, table: str) -> list[str]:
    noted = Counter(note.get(table, ()))
    return [rule for rule in saved.rules.get(table, ()) if not (_leads_to_us(rule) or _is_other(rule, noted))]


def _leads_to_us(rule: str) -> bool:
    words = rule.split()
    return any(word in {"-j", "-g"} and words[at + 1].startswith(PREFIX) for at, word in enumerate(words[:-1]))


def _removal(saved: Saved, note: Note) -> dict[str, list[str]]:
    lines: dict[str, list[str]] = {}
    for table, chains in saved.chains.items():
        noted = Counter(note.get(table, ()))
        found = lines.setdefault(table, [])
        for rule in saved.rules.get(table, ()):
            chain = rule.split()[1]
            if not chain.startswith(PREFIX) and (_leads_to_us(rule) or _is_other(rule, noted)):
                found.append(f"-D{rule[2:]}")
        own = [chain for chain in chains if chain.startswith(PREFIX)]
        # They refer to each other: empty all of them before the first one goes.
        found += [f"-F {chain}" for chain in own]
        found += [f"-X {chain}" for chain in own]
    return lines
