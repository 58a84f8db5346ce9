"""What a YAML parser complains of, in words that say how to mend it. Pure."""

from __future__ import annotations

import re

import yaml

_IPV6_IN_LIST = re.compile(r"[\[,]\s*(?:::|[0-9a-fA-F]+:+[0-9a-fA-F:]*)")


def explain(error: yaml.YAMLError, text: str, first_line: int) -> tuple[tuple[int, int], str, str]:
    """What libyaml complains of with its place, and how to mend the usual causes."""
    mark_ = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark_ is None:
        reason = str(error).splitlines()[0]
        position = getattr(error, "position", 0) or 0
        return (first_line + text.count("\n", 0, position) + 1, 1), f"not YAML: {reason}", ""
    line, column = mark_.line, mark_.column
    problem = getattr(error, "problem", None) or "it cannot be read"
    context = getattr(error, "context", None)
    began = getattr(error, "context_mark", None)
    message = f"not YAML: {problem}"
    if context:
        message += f" {context}"
        if began is not None and began.line != line:
            message += f" that begins in line {first_line + began.line + 1}"
    lines = text.split("\n")
    here = lines[line].rstrip("\r") if line < len(lines) else ""
    return (first_line + line + 1, column + 1), message, _hint(here, column, f"{problem} {context}")


def _hint(line: str, column: int, problem: str) -> str:
    character = line[column : column + 1]
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "indent with spaces, not tabs"
    if _IPV6_IN_LIST.search(line):
        return "quote an IPv6 address inside [ ]"
    if "{{" in line or "{%" in line:
        return "this looks like a template: render it first"
    if "alias" in problem:
        return 'quote a value that begins with "*"'
    if character in ("@", "`", "%"):
        return f'quote a value that begins with "{character}"'
    if "mapping values" in problem:
        return 'quote a value that contains ": ", and check the indentation'
    return ""
