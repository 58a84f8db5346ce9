"""Configuration read once, for commands that look at it and run nothing: analyze, explain, test.

No clock, no watching, no trio: importing this is quick.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import attrs

from meshd.api.common import DEFAULT_NAMESPACE
from meshd.api.document import Document, Key, Origin
from meshd.api.load import Loaded as LoadedObject
from meshd.api.load import Loader
from meshd.api.problem import Level
from meshd.control.analysis.validation import validate
from meshd.control.finding import CANNOT_BE_READ, Finding, of_loading, of_problem
from meshd.control.merge import combine, settle
from meshd.control.sources.source import Entry, SourceSet, read_entries
from meshd.control.store.directory import SUFFIXES, DirectoryStore
from meshd.modes.texts import STDIN, read_file

__all__ = ["STDIN", "STDIN_NAME", "Loaded", "load"]

STDIN_NAME: Final = "<stdin>"
"""What standard input is called in origins."""


@attrs.frozen
class Loaded:
    """What the paths hold.

    ``documents`` are those that can be used, in the order of their keys;
    ``findings`` is everything found on the way, errors first. ``refused`` are
    documents that break a rule, without their resource where that could not
    be read; ``unusable`` are the objects of which only the name is known.
    ``files``: how many texts were read.
    """

    documents: tuple[Document, ...] = ()
    findings: tuple[Finding, ...] = ()
    refused: tuple[Document, ...] = ()
    unusable: frozenset[Key] = frozenset()
    files: int = 0

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that keep a document out."""
        return tuple(finding for finding in self.findings if finding.level is Level.ERROR)


def load(
    paths: Sequence[Path | str],
    mesh_config: Path | str | None = None,
    mesh_networks: Path | str | None = None,
    stdin: bytes | str | None = None,
    *,
    namespace: str = DEFAULT_NAMESPACE,
    recursive: bool = True,
) -> Loaded:
    """Read files and directories, as a control plane reads its store.

    Args:
        paths: Files and directories; ``-`` stands for ``stdin``. What cannot be read is a finding.
        mesh_config: A file with a MeshConfig, or with the ConfigMap that holds it; it
            replaces the one among ``paths``.
        mesh_networks: The same for MeshNetworks.
        stdin: The text of standard input; needed when ``-`` is among ``paths``.
        namespace: That of documents which name none.
        recursive: Whether directories in directories are read too.
    """
    loader = Loader(namespace=namespace)
    files = [path for path in paths if str(path) != STDIN]
    if not recursive:
        files = [each for path in files for each in _without_directories(Path(path))]
    read = DirectoryStore(files, loader, wall_clock=lambda: math.inf).read()
    entries = list(read.entries)
    if stdin is not None and STDIN in [str(path) for path in paths]:
        # What is piped in comes last and wins, as the newest.
        entries += read_entries(loader, stdin, STDIN_NAME, math.inf)
    findings = list(read.findings)
    for name, file in (("mesh", mesh_config), ("meshNetworks", mesh_networks)):
        if file is not None:
            _apply_settings(loader, entries, findings, name, str(file))
    return _settled(entries, findings)


def _without_directories(path: Path) -> list[Path]:
    """A file itself, or the files of a directory without those of its directories."""
    try:
        inner = sorted(path.iterdir()) if path.is_dir() else [path]
    except OSError:
        return [path]
    return [each for each in inner if each == path or (each.suffix in SUFFIXES and each.is_file())]


def _settled(entries: Sequence[Entry], findings: Iterable[Finding]) -> Loaded:
    """Each object once, the newer form of it; what was refused only where no form is good."""
    merged = combine([settle({}, SourceSet("offline", tuple(entries), tuple(findings)))])
    good = {document.key for document in merged.documents}
    refused = {entry.refused.key: entry.refused for entry in entries if entry.refused is not None}
    broken = {entry.key for entry in entries if entry.key is not None and entry.document is None}
    return Loaded(
        merged.documents,
        merged.findings,
        tuple(refused[key] for key in sorted(refused.keys() - good, key=str)),
        frozenset(broken - good - refused.keys()),
        len({entry.file for entry in entries}),
    )


def _apply_settings(loader: Loader, entries: list[Entry], findings: list[Finding], name: str, file: str) -> None:
    """Let one file of mesh settings take the place of what the ConfigMap ``istio`` says."""
    try:
        text = read_file(file).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        findings.append(Finding(CANNOT_BE_READ, Level.ERROR, f"cannot be read: {why}", origin=Origin(file)))
        return
    loaded = _settings(loader, text, file, name)
    findings += of_loading(loaded)
    document = loaded.document
    if document is None:
        return
    previous = [entry.document for entry in entries if entry.key == document.key and entry.document is not None]
    if previous and name == "meshNetworks":
        # The other half stays as it is.
        networks = document.resource.meshNetworks
        document = attrs.evolve(previous[-1], resource=attrs.evolve(previous[-1].resource, meshNetworks=networks))
    elif previous and document.resource.meshNetworks is None:
        networks = previous[-1].resource.meshNetworks
        document = attrs.evolve(document, resource=attrs.evolve(document.resource, meshNetworks=networks))
    findings += [of_problem(problem, document) for problem in validate(document)]
    entries[:] = [entry for entry in entries if entry.key != document.key]
    entries.append(Entry(document.key, document, (), math.inf, document.origin.file))


def _settings(loader: Loader, text: str, file: str, name: str) -> LoadedObject:
    """Settings as such, or in the ConfigMap in which Istio keeps them."""
    for loaded in loader.load(text, file):
        if loaded.key is not None and loaded.key.kind == "ConfigMap":
            return loaded
    return loader.load_settings(text, file, name)
