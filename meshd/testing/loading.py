"""Configuration for a mesh inside a test: from paths to texts, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence
from pathlib import Path
from typing import Any

from meshd.api.problem import Level
from meshd.control.finding import Finding
from meshd.errors import ConfigError

SUFFIXES = (".yaml", ".yml")


def read_all(paths: Iterable[str | Path], beside: Path | None) -> list[tuple[Path, bytes]]:
    """The YAML files of these paths, with their texts.

    Args:
        paths: Files, and directories of them.
        beside: Where relative paths may also start.

    Raises:
        FileNotFoundError: a path leads to nothing.
        ValueError: it is no path but YAML, or a directory without YAML.
    """
    found: list[tuple[Path, bytes]] = []
    for each in paths:
        if isinstance(each, str) and ("\n" in each or each.startswith("{")):
            raise ValueError("load() takes paths; a YAML text is put into the store with apply()")
        files = yaml_files(_locate(Path(each), beside))
        if not files:
            raise ValueError(f"{each}: there is no YAML file in this directory")
        found += [(path, path.read_bytes()) for path in files]
    return found


def yaml_files(path: Path) -> list[Path]:
    """A file, or the YAML files in a directory and below it, in order."""
    if not path.is_dir():
        return [path]
    return sorted(each for each in path.rglob("*") if each.suffix in SUFFIXES and each.is_file())


def refuse(findings: Sequence[Finding]) -> None:
    """Raise what keeps documents out; the control plane logs the rest, which pytest shows when a test fails.

    Raises:
        ConfigError: at least one document is refused.
    """
    errors = [finding for finding in findings if finding.level is Level.ERROR]
    if len(errors) == 1:
        raise ConfigError(str(errors[0]))
    if errors:
        raise ConfigError("\n  ".join([f"{len(errors)} errors in the configuration:", *map(str, errors)]))


def _locate(path: Path, beside: Path | None) -> Path:
    if path.exists():
        return path
    if beside is not None and (beside / path).exists():
        return beside / path
    also = f", nor beside the test in {beside}" if beside is not None and not path.is_absolute() else ""
    raise FileNotFoundError(f"no file or directory {str(path)!r} in {Path.cwd()}{also}")


class Settling:
    """Configuration on its way to the proxies: ``await`` it to see it arrive. A call waits for it anyway."""

    def __init__(self, wait: Callable[[], Awaitable[None]]) -> None:
        self._wait = wait

    def __await__(self) -> Generator[Any, None, None]:
        yield from self._wait().__await__()
