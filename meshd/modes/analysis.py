"""``meshd analyze``: documents in, a report out. Reads files; everything else is pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Final

import attrs

from meshd.api.common import DEFAULT_NAMESPACE
from meshd.api.kinds import KINDS
from meshd.api.problem import SYNTAX_ERROR
from meshd.control.analysis.analysis import Analysis
from meshd.control.analysis.catalog import ANALYSES, ON_REQUEST, run
from meshd.control.analysis.facts import Facts
from meshd.control.analysis.suppression import Suppression, annotated, is_quiet
from meshd.control.finding import CANNOT_BE_READ, Finding
from meshd.modes.offline import Loaded, load
from meshd.modes.texts import STDIN, standard_input

VALIDATION: Final = "schema.ValidationAnalyzer."
"""What Istio calls the validation of a kind, the kind's name behind it."""

ISTIOCTLS: Final = {
    "annotations.AlphaAnalyzer": "maturity.AlphaAnalyzer",
    "applicationUID.Analyzer": "deployment.ApplicationUIDAnalyzer",
    "auth.AuthorizationPoliciesAnalyzer": "authz.AuthorizationPoliciesAnalyzer",
    "deployment.MultiServiceAnalyzer": "deployment.ServiceAssociationAnalyzer",
    "deprecation.DeprecationAnalyzer": "deprecation.FieldAnalyzer",
    "destinationrule.SubsetSelectPodAnalyzer": "destinationrule.PodNotSelectedAnalyzer",
    "meshnetworks.MeshNetworksAnalyzer": "multicluster.MeshNetworksAnalyzer",
    "serviceentry.Analyzer": "serviceentry.ProtocolAddressesAnalyzer",
    "sidecar.DefaultSelectorAnalyzer": "sidecar.SelectorAnalyzer",
}
"""Names that istioctl takes for analyzers whose own name is another."""


@attrs.frozen
class Request:
    """What to analyse, and what to be told.

    ``namespace``: that of documents which name none; unless ``everywhere``, also
    the only one to hear of. "" is the default namespace, and all. ``analyzers``:
    names of those to run, () for the usual ones.
    """

    paths: tuple[Path, ...] = ()
    mesh_config: Path | None = None
    mesh_networks: Path | None = None
    namespace: str = ""
    everywhere: bool = False
    suppress: tuple[Suppression, ...] = ()
    analyzers: tuple[str, ...] = ()
    recursive: bool = True
    ignore_unknown: bool = False


@attrs.frozen
class Report:
    """What was found. ``unreadable``: part of what was named could not be looked at."""

    findings: tuple[Finding, ...]
    documents: int
    files: int
    suppressed: int = 0
    unreadable: bool = False


def analyse(request: Request, now: datetime | None = None) -> Report:
    """Read, validate and analyse.

    Args:
        request: What to do.
        now: The present, to tell expired certificates.
    """
    stdin = standard_input() if STDIN in (str(path) for path in request.paths) else None
    loaded = load(
        request.paths,
        request.mesh_config,
        request.mesh_networks,
        stdin,
        namespace=request.namespace or DEFAULT_NAMESPACE,
        recursive=request.recursive,
    )
    facts = Facts.of(loaded.documents, refused=loaded.refused, unusable=loaded.unusable, now=now)
    found = [*_of_reading(loaded, request), *run(facts, _chosen(request.analyzers))]
    shown = _shown(sorted(found, key=lambda finding: finding.sort_key), request)
    by_annotation = annotated((*loaded.documents, *loaded.refused))
    heard = tuple(
        finding
        for finding in shown
        if not is_quiet(finding, by_annotation) and not any(each.covers(finding) for each in request.suppress)
    )
    return Report(
        heard,
        len(loaded.documents) + len(loaded.refused) + len(loaded.unusable),
        loaded.files,
        len(shown) - len(heard),
        any(is_unreadable(finding) for finding in _of_reading(loaded, request)),
    )


def is_unreadable(finding: Finding) -> bool:
    """Whether a finding says that something could not even be looked at."""
    return finding.code in {SYNTAX_ERROR, CANNOT_BE_READ}


def _of_reading(loaded: Loaded, request: Request) -> tuple[Finding, ...]:
    """What reading and validating each document alone has found."""
    findings: Iterable[Finding] = loaded.findings
    if request.ignore_unknown:
        findings = (each for each in findings if each.code != SYNTAX_ERROR and each.resource)
    if request.analyzers:
        kinds = {name.removeprefix(VALIDATION) for name in request.analyzers if name.startswith(VALIDATION)}
        findings = (each for each in findings if is_unreadable(each) or each.resource.partition(" ")[0] in kinds)
    return tuple(findings)


def _chosen(names: tuple[str, ...]) -> tuple[Analysis, ...]:
    if not names:
        return ANALYSES
    return tuple(analysis for analysis in (*ANALYSES, *ON_REQUEST) if analysis.name in names)


def _shown(findings: list[Finding], request: Request) -> list[Finding]:
    """Without other namespaces, where one was named. What belongs to no namespace is for everybody."""
    if not request.namespace or request.everywhere:
        return findings
    return [each for each in findings if _namespace(each.resource) in {"", request.namespace}]


def _namespace(resource: str) -> str:
    name = resource.partition(" ")[2]
    return name.partition("/")[0] if "/" in name else ""


def catalog() -> tuple[Analysis, ...]:
    """Every analyzer that can be named: Istio's and meshd's, and the validation of each kind."""
    analyses = [*ANALYSES, *ON_REQUEST]
    known = {analysis.name for analysis in analyses}
    validations = [
        Analysis(f"{VALIDATION}{name}", f"each {name} keeps the rules of its kind", ("IST0106", "IST0133"), _none)
        # Istio's Gateway and the Gateway API's share a name.
        for name in dict.fromkeys(kind.name for kind in KINDS)
        if f"{VALIDATION}{name}" not in known
    ]
    return tuple(sorted((*analyses, *validations), key=lambda analysis: analysis.name))


def analyzer_named(name: str) -> str | None:
    """An analyzer's own name, by that or by istioctl's; None when there is no such analyzer."""
    own = ISTIOCTLS.get(name, name)
    return own if own in {analysis.name for analysis in catalog()} else None


def _none(_: Facts) -> tuple[Finding, ...]:
    """Validation is done while documents are read."""
    return ()


def documents_of(report: Report) -> str:
    """``14 documents of 3 files``."""
    documents = f"{report.documents} document{'' if report.documents == 1 else 's'}"
    return f"{documents} of {report.files} file{'' if report.files == 1 else 's'}"
