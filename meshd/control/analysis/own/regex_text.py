"""What can be seen in the text of a regular expression, without running it. Pure.

Everything here is cautious: what is not certain is not said.
"""

from __future__ import annotations

import attrs

_META = frozenset(".[]()*+?{}|^$\\")
_QUANTIFIERS = frozenset("*+?{")


@attrs.frozen
class Shape:
    """An expression that must match the whole text.

    ``literal`` is what every matching text begins with; ``rest`` is the
    expression after it, "" when the literal is all there is.
    """

    literal: str
    rest: str

    @property
    def exact(self) -> bool:
        """It matches one text only: the literal."""
        return not self.rest

    @property
    def prefix(self) -> bool:
        """It matches whatever begins with the literal."""
        return self.rest == ".*"


def shape_of(pattern: str) -> Shape:
    """Take an expression apart."""
    text = pattern.removeprefix("^")
    if text.endswith("$") and not text.endswith("\\$"):
        text = text[:-1]
    if has_alternatives(text):
        return Shape("", text)
    literal: list[str] = []
    at = 0
    while at < len(text):
        character, width = _literal_at(text, at)
        if not width:
            break
        literal.append(character)
        at += width
    if at < len(text) and text[at] in _QUANTIFIERS and literal:
        # The quantifier speaks of the last character, which may then be absent.
        at -= 1 if text[at - 2 : at - 1] != "\\" else 2
        literal.pop()
    return Shape("".join(literal), text[at:])


def _literal_at(text: str, at: int) -> tuple[str, int]:
    """The literal character that stands at a place and its width in the expression; 0: none does."""
    character = text[at]
    if character == "\\":
        escaped = text[at + 1 : at + 2]
        # Letters and digits after a backslash are classes, anchors and groups.
        return (escaped, 2) if escaped and not escaped.isalnum() else ("", 0)
    return ("", 0) if character in _META else (character, 1)


def has_alternatives(text: str) -> bool:
    """Whether the whole expression is a choice (``a|b``), be it in part of it that matters to its beginning."""
    depth = 0
    for character in _outside_classes(text):
        if character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
        elif character == "|" and depth == 0:
            return True
    return False


def has_bare_dot(text: str) -> bool:
    """Whether a ``.`` between two letters or digits means any character, as in ``example.com``."""
    plain = [*_outside_classes(text), ""]
    return any(
        here == "." and before.isalnum() and after.isalnum()
        for before, here, after in zip(plain, plain[1:], plain[2:], strict=False)
    )


def _outside_classes(text: str) -> list[str]:
    """The characters that stand for themselves or are operators: neither escaped nor inside ``[...]``.

    An escaped character or a class is one empty item.
    """
    found: list[str] = []
    at = 0
    while at < len(text):
        character = text[at]
        if character == "\\":
            found.append("")
            at += 2
        elif character == "[":
            found.append("")
            at = _class_end(text, at)
        else:
            found.append(character)
            at += 1
    return found


def _class_end(text: str, start: int) -> int:
    """Where the class that begins at ``start`` ends."""
    at = start + 1
    if text[at : at + 1] == "^":
        at += 1
    if text[at : at + 1] == "]":
        at += 1
    while at < len(text) and text[at] != "]":
        at += 2 if text[at] == "\\" else 1
    return at + 1
