"""Configuration read once, for commands that look at it and run nothing: analyze, explain, test.

No clock, no watching, no trio: importing this is quick.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import attrs

from meshd.api.common import Map
from meshd.api.document import Document, Key, Origin
from meshd.api.kubernetes import ConfigMap
from meshd.api.load import Loader
from meshd.api.problem import Level
from meshd.control.analysis.validation import validate
from meshd.control.finding import CANNOT_BE_READ, Finding, of_problem
from meshd.control.merge import combine, settle
from meshd.control.mesh import ROOT_NAMESPACE
from meshd.control.sources.source import Entry, SourceSet, read_entries
from meshd.control.store.directory import DirectoryStore

STDIN: Final = "-"
STDIN_NAME: Final = "<stdin>"
"""What standard input is called in origins."""

MESH_CONFIG: Final = Key("", "ConfigMap", ROOT_NAMESPACE, "istio")
"""The object in which Istio keeps MeshConfig and MeshNetworks."""


@attrs.frozen
class Loaded:
    """What the paths hold.

    ``documents`` are those that can be used, in the order of their keys;
    ``findings`` is everything found on the way, errors first. ``refused`` are
    documents that could be read and break a rule; ``unusable`` are the objects
    of which not even that much is known.
    """

    documents: tuple[Document, ...] = ()
    findings: tuple[Finding, ...] = ()
    refused: tuple[Document, ...] = ()
    unusable: frozenset[Key] = frozenset()

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that keep a document out."""
        return tuple(finding for finding in self.findings if finding.level is Level.ERROR)


def load(
    paths: Sequence[Path | str],
    mesh_config: Path | str | None = None,
    mesh_networks: Path | str | None = None,
    stdin: bytes | str | None = None,
) -> Loaded:
    """Read files and directories (recursively, as a control plane reads its store).

    Args:
        paths: Files and directories; ``-`` stands for ``stdin``. What cannot be read is a finding.
        mesh_config: A file with a MeshConfig, or with the ConfigMap that holds it; it
            replaces the one among ``paths``.
        mesh_networks: The same for MeshNetworks.
        stdin: The text of standard input; needed when ``-`` is among ``paths``.
    """
    loader = Loader()
    files = [path for path in paths if str(path) != STDIN]
    read = DirectoryStore(files, loader, wall_clock=lambda: math.inf).read()
    entries = list(read.entries)
    if stdin is not None and len(files) < len(paths):
        # What is piped in comes last and wins, as the newest.
        entries += read_entries(loader, stdin, STDIN_NAME, math.inf)
    findings = list(read.findings)
    settings = {"mesh": mesh_config, "meshNetworks": mesh_networks}
    for name, file in settings.items():
        if file is not None:
            _apply_settings(loader, entries, findings, name, file)
    return _settled(entries, findings)


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
    )


def _apply_settings(loader: Loader, entries: list[Entry], findings: list[Finding], name: str, file: Path | str) -> None:
    """Put one file of mesh settings into the ConfigMap in which Istio keeps them."""
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        findings.append(Finding(CANNOT_BE_READ, Level.ERROR, f"cannot be read: {why}", origin=Origin(str(file))))
        return
    for loaded in loader.load(text, str(file)):
        if loaded.document is not None and isinstance(loaded.document.resource, ConfigMap):
            text = loaded.document.resource.data.get(name, "")
    found = [entry for entry in entries if entry.key == MESH_CONFIG]
    data = {key: value for entry in found if entry.document for key, value in entry.document.resource.data.items()}
    document = Document.of(
        ConfigMap(Map({**data, name: text})),
        MESH_CONFIG.name,
        namespace=MESH_CONFIG.namespace,
        origin=Origin(str(file)),
    )
    problems = tuple(of_problem(problem, document) for problem in validate(document))
    bad = any(finding.level is Level.ERROR for finding in problems)
    entries[:] = [entry for entry in entries if entry.key != MESH_CONFIG]
    entries.append(
        Entry(document.key, None if bad else document, problems, math.inf, str(file), document if bad else None)
    )
