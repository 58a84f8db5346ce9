"""What an analysis may look at: all documents, by kind, and the mesh they make. Pure.

An analysis is ``def analysis(facts: Facts) -> Iterable[Finding]``, listed in
``catalog``. Whatever several analyses look up is an index here, made when it is
first asked for; nothing changes once made.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from functools import cached_property

import attrs

from meshd.api.document import Document, Key
from meshd.api.kubernetes import Secret
from meshd.api.problem import Problem
from meshd.control.analysis.host_facts import HostFacts
from meshd.control.analysis.pod_facts import PodFacts
from meshd.control.analysis.workload_facts import WorkloadFacts
from meshd.control.finding import Finding, of_problem
from meshd.control.mesh import Mesh


@attrs.frozen(eq=False)
class Facts:
    """Everything there is to judge.

    ``documents`` are all that could be read; ``refused`` are the keys of those
    among them that break a rule of their own: they are judged, and part of no
    mesh. ``unusable`` are objects that are there and could not be read at all:
    nobody should be told that they are missing. ``known_hosts`` exist though no
    document says so.
    """

    documents: tuple[Document, ...]
    refused: frozenset[Key] = frozenset()
    unusable: frozenset[Key] = frozenset()
    known_hosts: frozenset[str] = frozenset()
    now: datetime | None = None
    """To tell an expired certificate; None: nobody asks."""
    broken: tuple[Document, ...] = ()
    """Documents without their resource, which could not be read: only metadata and status are known."""
    complete: bool = True
    """Whether what no document says is not there. In a running mesh workloads come and go."""

    @classmethod
    def of(
        cls,
        documents: Iterable[Document],
        *,
        refused: Iterable[Document] = (),
        unusable: Collection[Key] = (),
        known_hosts: Collection[str] = (),
        now: datetime | None = None,
        complete: bool = True,
    ) -> Facts:
        """Facts from documents in force, and from those that are not."""
        judged = tuple(document for document in refused if document.resource is not None)
        broken = tuple(document for document in refused if document.resource is None)
        return cls(
            (*documents, *judged),
            frozenset(document.key for document in judged),
            frozenset(unusable).union(document.key for document in broken),
            frozenset(known_hosts),
            now,
            broken,
            complete,
        )

    def all(self, resource: type) -> tuple[Document, ...]:
        """The documents of a kind that has a class of its own: ``facts.all(VirtualService)``."""
        return self._by_type.get(resource, ())

    def kind(self, name: str, group: str = "") -> tuple[Document, ...]:
        """The documents of a kind by its name and group: ``facts.kind("Deployment", "apps")``."""
        return self._by_kind.get((group, name), ())

    def has(self, kind: str, group: str, namespace: str, name: str) -> bool:
        """Whether there is such an object, be it broken."""
        key = Key(group, kind, namespace, name)
        return key in self.by_key or key in self.unusable

    def lost(self, *kinds: str) -> bool:
        """Whether some document of these kinds could not be read: then nobody can say that it does not say something."""
        return any(key.kind in kinds for key in self.unusable)

    def metadata_of(self, name: str, group: str = "") -> Iterator[Document]:
        """The same, and those whose resource could not be read: for whoever looks at metadata and status only."""
        yield from self.kind(name, group)
        yield from (each for each in self.broken if (each.key.group, each.kind) == (group, name))

    @cached_property
    def by_key(self) -> dict[Key, Document]:
        """Every document by what makes it this object."""
        return {document.key: document for document in self.documents}

    @cached_property
    def mesh(self) -> Mesh:
        """The mesh of the documents that can be used."""
        return Mesh.of(document for document in self.documents if document.key not in self.refused)

    @cached_property
    def hosts(self) -> HostFacts:
        """Which hosts, subsets and ports there are."""
        return HostFacts.of(self.documents, self.mesh, self.known_hosts, self.refused)

    @cached_property
    def namespaces(self) -> dict[str, Document]:
        """The Namespace documents by name."""
        return {document.name: document for document in self.kind("Namespace")}

    @cached_property
    def nodes(self) -> dict[str, Document]:
        """The Node documents by name."""
        return {document.name: document for document in self.kind("Node")}

    @cached_property
    def secrets(self) -> dict[tuple[str, str], Secret]:
        """The Secrets by namespace and name."""
        return {(document.namespace, document.name): document.resource for document in self.all(Secret)}

    @cached_property
    def pods(self) -> PodFacts:
        """Pods and what makes pods, as Istio's analyzers see them: with containers and annotations."""
        return PodFacts.of(self.documents)

    @cached_property
    def workloads(self) -> WorkloadFacts:
        """Which workloads are described, what services offer on them, and what their ports take."""
        return WorkloadFacts(self.documents, self.mesh)

    @cached_property
    def _by_type(self) -> dict[type, tuple[Document, ...]]:
        found: dict[type, list[Document]] = {}
        for document in self.documents:
            found.setdefault(type(document.resource), []).append(document)
        return {each: tuple(documents) for each, documents in found.items()}

    @cached_property
    def _by_kind(self) -> dict[tuple[str, str], tuple[Document, ...]]:
        found: dict[tuple[str, str], list[Document]] = {}
        for document in self.documents:
            found.setdefault((document.key.group, document.kind), []).append(document)
        return {each: tuple(documents) for each, documents in found.items()}


def told(document: Document, problems: Iterable[Problem]) -> Iterator[Finding]:
    """Problems as findings without their path: the message names what is meant and the place is exact."""
    for problem in problems:
        yield attrs.evolve(of_problem(problem, document), path="")
