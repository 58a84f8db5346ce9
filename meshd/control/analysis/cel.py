"""Whether a text is an expression of CEL, the Common Expression Language. Pure.

Telemetry filters and tags are CEL, which proxies evaluate; here only the
grammar is looked at, as Istio does. Which operator binds closer does not matter
to that. Source: cel-spec, ``doc/langdef.md``.

    Expr       = Operands ["?" Operands ":" Expr]
    Operands   = Unary {("||" | "&&" | "<" | "<=" | ">=" | ">" | "==" | "!=" | "in" | "+" | "-" | "*" | "/" | "%") Unary}
    Unary      = {"!"} Member | {"-"} Member
    Member     = Primary {"." NAME ["(" [List] ")"] | "[" Expr "]" | "{" [Fields] "}"}
    Primary    = ["."] NAME ["(" [List] ")"] | "(" Expr ")" | "[" [List] "]" | "{" [Pairs] "}" | LITERAL
"""

from __future__ import annotations

import re
from collections.abc import Callable

LONGEST = 16 * 1024
"""Characters of an expression."""
DEEPEST = 48
"""Expressions within one another; six Python calls each."""

_TOKEN = re.compile(
    r"""\s*(?://[^\n]*\n?\s*)*(?:
        (?P<text>[rR]?[bB]?(?:\"\"\"(?:[^\\]|\\.)*?\"\"\"|'''(?:[^\\]|\\.)*?'''|"(?:[^"\\\r\n]|\\.)*"|'(?:[^'\\\r\n]|\\.)*')
               |[bB][rR](?:"[^"\r\n]*"|'[^'\r\n]*'))
      | (?P<number>(?:[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+|\.[0-9]+(?:[eE][+-]?[0-9]+)?|0[xX][0-9a-fA-F]+u?|[0-9]+[uU]?)(?![A-Za-z0-9_]))
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<mark>&&|\|\||<=|>=|==|!=|[-+*/%!<>?:.,()\[\]{}])
      | (?P<end>\Z)
      )""",
    re.VERBOSE | re.DOTALL,
)
_RESERVED = frozenset(
    [
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ]
)
_OPERATORS = ("||", "&&", "<", "<=", ">=", ">", "==", "!=", "in", "+", "-", "*", "/", "%")


def why_not_expression(text: str) -> str:
    """What is wrong with an expression, "" when nothing is."""
    if len(text) > LONGEST:
        return f"it is longer than {LONGEST} characters"
    try:
        _Parser(text).whole()
    except _Wrong as caught:
        return str(caught)
    return ""


class _Wrong(Exception):
    """The reason, in words."""


class _Parser:
    """Recursive descent with one token of lookahead; it builds nothing."""

    def __init__(self, text: str) -> None:
        # The whole mutable state is these six fields.
        self._text = text
        self._position = 0
        self._ended = 0
        self._depth = 0
        self._kind = ""
        self._word = ""
        self._advance()

    def whole(self) -> None:
        """One expression and nothing after it."""
        self._expression()
        if self._kind != "end":
            raise self._unexpected()

    def _advance(self) -> str:
        token = self._word
        self._ended = self._position
        match = _TOKEN.match(self._text, self._position)
        if match is None:
            rest = self._text[self._position :].lstrip()
            raise _Wrong(f"{rest[:1]!r} cannot stand at character {len(self._text) - len(rest) + 1}")
        self._kind = match.lastgroup or "end"
        self._word = match[self._kind]
        self._position = match.end()
        return token

    def _take(self, *marks: str) -> bool:
        if self._kind in ("mark", "name") and self._word in marks:
            self._advance()
            return True
        return False

    def _expect(self, mark: str) -> None:
        if not self._take(mark):
            raise self._unexpected(f", expected {mark!r}")

    def _unexpected(self, expected: str = "") -> _Wrong:
        if self._kind == "end":
            return _Wrong(f"it ends too early{expected}")
        start = self._position - len(self._word) + 1
        return _Wrong(f"{self._word!r} cannot stand at character {start}{expected}")

    def _expression(self) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise _Wrong(f"more than {DEEPEST} expressions are within one another")
        self._operands()
        while self._take("?"):
            self._operands()
            self._expect(":")
            self._operands()
        self._depth -= 1

    def _operands(self) -> None:
        self._unary()
        while self._take(*_OPERATORS):
            self._unary()

    def _unary(self) -> None:
        if self._take("!"):
            while self._take("!"):
                pass
        elif self._take("-"):
            while self._take("-"):
                pass
        self._member()

    def _member(self) -> None:
        self._primary()
        while True:
            if self._take("."):
                self._name()
                self._arguments()
            elif self._take("["):
                self._expression()
                self._expect("]")
            elif self._take("{"):
                self._entries("}", self._field)
            else:
                return

    def _name(self) -> str:
        if self._kind != "name":
            raise self._unexpected(", expected a name")
        return self._advance()

    def _arguments(self) -> bool:
        if not self._take("("):
            return False
        self._entries(")", self._expression)
        return True

    def _entries(self, closing: str, entry: Callable[[], None]) -> None:
        while not self._take(closing):
            entry()
            if not self._take(","):
                self._expect(closing)
                return
            if closing == ")" and self._word == ")":
                raise self._unexpected()

    def _field(self) -> None:
        self._name()
        self._expect(":")
        self._expression()

    def _pair(self) -> None:
        self._expression()
        self._expect(":")
        self._expression()

    def _primary(self) -> None:
        if self._kind in ("text", "number"):
            self._advance()
        elif self._take("("):
            self._expression()
            self._expect(")")
        elif self._take("["):
            self._entries("]", self._expression)
        elif self._take("{"):
            self._entries("}", self._pair)
        else:
            self._take(".")
            name = self._word
            if name in _RESERVED or name == "in":
                raise self._unexpected()
            self._name()
            self._macro(name)

    def _macro(self, name: str) -> None:
        """``has(a.b)`` asks for a field and for nothing else."""
        if name != "has" or self._word != "(":
            self._arguments()
            return
        start = self._position
        self._arguments()
        inside = self._text[start : self._ended]
        if "." not in inside:
            raise _Wrong("has(...) asks whether a field is there, as in has(request.headers)")
