"""Write the reference of the command line from the command line itself.

python -m tools.cli_reference docs/reference/cli.md          write it
python -m tools.cli_reference --check docs/reference/cli.md  exit 1 when it is not current
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from typing import Any

import typer

from meshd.cli.main import app
from tools.reference_page import write_or_check

HEAD = """# Command line

Written by `make docs-reference` from the program itself; do not edit.

Every flag can be given as an environment variable, named beside it; a flag goes before its variable.
A repeatable flag's variable holds its values with spaces between them.
Addresses are `[HOST]:PORT`; a listener without a host listens on every interface, and port 0 takes a free port.

Exit codes: 0 ok, 1 failed while running, 2 usage, 65 unusable configuration, 69 control plane unreachable,
78 cannot start as configured.
SIGTERM and SIGINT drain and stop, a second one stops at once, SIGHUP reads static configuration again.
"""


def page() -> str:
    """The whole page."""
    root: Any = typer.main.get_command(app)
    return HEAD + "".join(sections(root, "meshd", "MESHD"))


def sections(command: Any, name: str, prefix: str) -> Iterator[str]:
    """A section for each command, in the order of ``--help``."""
    for child_name, child in command.commands.items():
        full, variable = f"{name} {child_name}", f"{prefix}_{child_name.upper().replace('-', '_')}"
        if hasattr(child, "commands"):
            yield from sections(child, full, variable)
        else:
            yield section(child, full, variable)


def section(command: Any, name: str, prefix: str) -> str:
    """One command: what it is for, and its flags."""
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    usage = " ".join([name, "[OPTIONS]", *(each.metavar or each.name.upper() for each in arguments)])
    rows = "".join(row(each, prefix) for each in command.params if each.param_type_name == "option")
    text = f"\n## {name}\n\n    {usage}\n\n{inspect.cleandoc(command.help or '')}\n"
    return text + (f"\n| flag | meaning |\n|---|---|\n{rows}" if rows else "")


def row(option: Any, prefix: str) -> str:
    """One flag."""
    flags = ", ".join(f"`{flag}`" for flag in option.opts)
    value = "" if option.is_flag else f" `{(option.metavar or 'TEXT')}`"
    longest = max(option.opts, key=len).lstrip("-").replace("-", "_").upper()
    default = shown_default(option)
    required = " Required." if option.required else ""
    meaning = f"{option.help or ''}{required}{f' Default: {default}.' if default else ''} `{prefix}_{longest}`"
    cells = [cell.replace("|", "\\|") for cell in (flags + value, meaning)]
    return f"| {' | '.join(cells)} |\n"


def shown_default(option: Any) -> str:
    """The default as ``--help`` shows it, "" when there is nothing to show."""
    if isinstance(option.show_default, str):
        return option.show_default
    return str(option.default) if option.default not in (None, "", False, ()) and not option.required else ""


if __name__ == "__main__":
    sys.exit(write_or_check(page()))
