"""Cases, played: a mesh for each document of them, the real data plane on virtual time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs

from meshd.api.convert import suggestion
from meshd.api.document import Document
from meshd.errors import MeshdError
from meshd.explain.explain import Explanation
from meshd.explain.text import story
from meshd.modes import offline
from meshd.net.address import is_ip_literal
from meshd.snapshot.common import Direction
from meshd.testing import cast
from meshd.testing.answer import Answer
from meshd.testing.app import OWN_NAME, Action, Script, echo, hang, reset, respond
from meshd.testing.calls import TIMEOUT, Call
from meshd.testing.cases.asking import Asked, ask
from meshd.testing.cases.deciding import judge
from meshd.testing.cases.form import (
    BEHAVIOUR,
    DECISION,
    OUTSIDE,
    Case,
    Expect,
    Gateway,
    Respond,
    Served,
    Service,
    Span,
    Status,
    said,
)
from meshd.testing.cases.outcome import Failure, Outcome, Played
from meshd.testing.cases.reading import Suite
from meshd.testing.cases.sharing import judge_shares
from meshd.testing.judging import Expectation, Mismatch, Text, Within, judge_fields
from meshd.testing.mesh import Mesh
from meshd.testing.opening import run_mesh
from meshd.testing.workload import Workload

FIELDS = {"served_by": "servedBy", "grpc_status": "grpcStatus"}
"""Fields of an answer that are spelled otherwise in a file."""


@attrs.frozen
class Options:
    """What a run of ``meshd test`` says for every document; None and () leave it to the documents."""

    config: tuple[Path, ...] = ()
    mesh_config: Path | None = None
    mesh_networks: Path | None = None
    seed: int | None = None


class Unplayable(Exception):
    """A case names what is not there. Raised and caught in this module only."""

    def __init__(self, message: str, *path: str | int) -> None:
        super().__init__(message)
        self.path = path


def play(suite: Suite, chosen: Sequence[Case], options: Options) -> Played:
    """Play some cases of a document, in order, in one mesh."""
    loaded = offline.load(options.config or suite.configuration, options.mesh_config, options.mesh_networks)
    if loaded.errors:
        return Played(suite, findings=loaded.errors)

    async def inside(mesh: Mesh) -> tuple[Outcome, ...]:
        stage = _Stage(suite, mesh, loaded.documents)
        return tuple([await stage.play(case) for case in chosen])

    seed = suite.test.seed if options.seed is None else options.seed
    return Played(suite, run_mesh(inside, seed))


class _Stage:
    """A mesh with the parts that cases need; they join when the first case needs them."""

    def __init__(self, suite: Suite, mesh: Mesh, documents: tuple[Document, ...]) -> None:
        self._suite = suite
        self._test = suite.test
        self._mesh = mesh
        self._documents = documents
        mesh.store.put_documents("configuration", documents)
        for name, service in self._test.services.items():
            self._add(name, service)

    async def play(self, case: Case) -> Outcome:
        """Play a case."""
        began = _real_time()
        path = ("cases", self._test.cases.index(case))
        outcome = Outcome(self._suite, case, self._suite.place(*path))
        try:
            self._prepare(case)
            outcome = await self._played(case, outcome, path)
        except Unplayable as failure:
            outcome = attrs.evolve(outcome, error=f"{self._suite.place(*path, *failure.path)}: {failure}")
        except (MeshdError, RuntimeError) as failure:
            outcome = attrs.evolve(outcome, error=str(failure))
        return attrs.evolve(outcome, took=_real_time() - began)

    async def _played(self, case: Case, outcome: Outcome, path: tuple[str | int, ...]) -> Outcome:
        answers: list[Answer] = []
        mismatches: list[Mismatch] = []
        lost = ""
        if said(case.expect, BEHAVIOUR):
            before = {workload.name: len(workload.requests) for workload in self._mesh.workloads}
            try:
                answers = [await self._call(case) for _ in range(case.times)]
            except MeshdError as failure:
                lost = str(failure)
            mismatches += _judge_error(case.expect, lost) if lost else _judge_answers(case.expect, answers)
            mismatches += self._judge_received(case.expect, before)
        explained = None
        if said(case.expect, DECISION) or mismatches:
            explained = await self._ask(case)
            mismatches += judge(case.expect, explained)
        failures = tuple(
            Failure(each.field, each.expected, each.got, self._suite.place(*path, "expect", *each.field.split(".", 1)))
            for each in mismatches
        )
        return attrs.evolve(
            outcome,
            failures=failures,
            story=_story(answers) or (f"no answer: {lost}" if lost else ""),
            why=_why(explained) if failures and explained is not None else (),
        )

    # Who takes part.

    def _prepare(self, case: Case) -> None:
        """See that everybody is there whom a case needs, and answers as it says."""
        hosts = {host for name in (_host(case), case.from_) if (host := name)}
        known = cast.roles(self._documents, self._mesh.services)
        for role in cast.needed(hosts, self._documents, known):
            self._add(role.name, Service(namespace=role.namespace))
        if case.through:
            self._add_gateway(case.through)
        elif case.from_ != OUTSIDE and cast.find(case.from_, self._mesh.services) is None:
            everybody = [*self._mesh.services, *(each.name for each in self._mesh.workloads)]
            hint = suggestion(case.from_, everybody)
            raise Unplayable(f"nobody is called {case.from_!r}{hint}; say who takes part under `services`", "from")
        self._name_others()
        for service in self._mesh.services.values():
            self._direct(service.name, self._test.services.get(service.name, Service()))
        for name, given in case.given.items():
            if cast.find(name, self._mesh.services) is None:
                hint = suggestion(name, self._mesh.services)
                raise Unplayable(f"no service {name!r} takes part in this case{hint}", "given", name)
            self._direct(name, given)

    def _add(self, name: str, service: Service) -> None:
        declared = cast.declared(name, service.namespace, self._documents)
        versions: Mapping[str, Any] = service.versions or dict.fromkeys(declared.versions, service.answers)
        try:
            self._mesh.service(
                name,
                versions={version: _script(answers) for version, answers in versions.items()},
                namespace=service.namespace,
                account=service.account,
                labels=service.labels,
                port=service.port,
                protocol=service.protocol,
                sidecar=service.sidecar,
            )
        except ValueError as failure:
            raise Unplayable(str(failure)) from failure

    def _add_gateway(self, name: str) -> None:
        if all(gateway.name != name for gateway in self._mesh.gateways):
            said_of_it = self._test.gateways.get(name, Gateway())
            labels = said_of_it.labels or {"istio": name.removeprefix("istio-")}
            self._mesh.gateway(name, namespace=said_of_it.namespace, account=said_of_it.account, labels=labels)

    def _direct(self, name: str, said_of_it: Any) -> None:
        """Let a service (or one workload) answer as it is told, from the first line of its script."""
        service = self._mesh.services.get(name)
        everybody = service.workloads if service is not None else (self._mesh.workload(name),)
        for workload in everybody:
            version = workload.name.removeprefix(f"{name}-") if workload.name != name else ""
            answers = said_of_it.versions.get(version) or said_of_it.answers
            if answers or isinstance(said_of_it, Service):
                workload.app.behave(_script(answers))

    def _name_others(self) -> None:
        for name, addresses in self._test.names.items():
            found: list[str] = []
            for each in addresses:
                workload = cast.find(each, self._mesh.services)
                if workload is None and not is_ip_literal(each):
                    raise Unplayable(
                        f"`names` says that {name} is {each!r}, which is no IP address and no service here"
                    )
                found.append(each if workload is None else workload.ip)
            self._mesh.names[name] = tuple(found)

    # Calling.

    async def _call(self, case: Case) -> Answer:
        timeout = case.timeout or TIMEOUT
        more: dict[str, Any] = {
            "headers": case.headers,
            "body": case.body,
            "timeout": timeout,
            "protocol": case.protocol,
        }
        if case.from_ == OUTSIDE and not case.through:
            return await self._mesh.outsider().call(case.call, to=self._target(case).inbound, **more)
        return await self._mesh.call(case.through or case.from_, case.call, **more)

    async def _ask(self, case: Case) -> Explanation:
        await self._mesh.settled()
        call = Call.of(case.call)
        if case.through:
            gateway = next(each for each in self._mesh.gateways if each.name == case.through)
            whose, proxy, mode = gateway.name, gateway.proxy, Direction.GATEWAY
        else:
            stranger = case.from_ == OUTSIDE
            workload = self._target(case) if stranger else self._mesh.workload(case.from_)
            whose, proxy = workload.name, workload.proxy
            mode = Direction.INBOUND if stranger else Direction.OUTBOUND
        asked = Asked(call.method, call.url, tuple(case.headers.items()), proxy, whose, mode)
        return ask(self._mesh, self._documents, asked)

    def _target(self, case: Case) -> Workload:
        """Whom a stranger calls past the mesh."""
        found = cast.find(_host(case), self._mesh.services)
        if found is None:
            raise Unplayable(f"nobody is called {_host(case)!r} here", "call")
        return found

    def _judge_received(self, expect: Expect, before: Mapping[str, int]) -> Iterator[Mismatch]:
        if not expect.received and expect.receivedPath is None:
            return
        new = [
            received
            for workload in self._mesh.workloads
            for received in workload.requests[before.get(workload.name, 0) :]
        ]
        if not new:
            yield Mismatch(
                "received" if expect.received else "receivedPath", "a request", "none reached an application"
            )
        for received in new:
            found = list(judge_fields(tuple(expect.received.items()), received.headers, "received"))
            path = expect.receivedPath or Text()
            if not path.holds(received.path):
                found.append(Mismatch("receivedPath", str(path), repr(received.path)))
            if found:
                yield from found
                return


def _judge_error(expect: Expect, lost: str) -> Iterator[Mismatch]:
    if expect.error is None:
        yield Mismatch("", "an answer", lost)
    elif not expect.error.holds(lost):
        yield Mismatch("error", str(expect.error), repr(lost))


def _judge_answers(expect: Expect, answers: Sequence[Answer]) -> Iterator[Mismatch]:
    status, served = expect.status or Status(), expect.servedBy or Served()
    expected = Expectation(
        status=status.anyOf or None,
        served_by=served.anyOf or None,
        hosts=expect.hosts,
        attempts=expect.attempts,
        flags=expect.flags,
        took=_within(expect.took),
        body=expect.body,
        headers=tuple(expect.headers.items()),
        grpc_status=expect.grpcStatus,
    )
    judged = [expected.judge(answer) for answer in answers]
    wrong = [mismatches for mismatches in judged if mismatches]
    counts = Counter(each.field for mismatches in wrong for each in mismatches)
    seen: set[str] = set()
    for each in (each for mismatches in wrong for each in mismatches):
        if each.field not in seen:
            seen.add(each.field)
            often = f" ({counts[each.field]} of {len(answers)} times)" if len(answers) > 1 else ""
            yield Mismatch(FIELDS.get(each.field, each.field), each.expected, f"{each.got}{often}")
    if expect.error is not None:
        yield Mismatch("error", str(expect.error), "an answer")
    if status.shares:
        yield from judge_shares("status", status.shares, [(str(each.status),) for each in answers], expect.within)
    if served.shares:
        names = [(each.served_by, each.service) for each in answers]
        yield from judge_shares("servedBy", served.shares, names, expect.within)


def _story(answers: Sequence[Answer]) -> str:
    if not answers:
        return ""
    if len(answers) == 1:
        return answers[0].story()
    counts = Counter(" ".join(filter(None, (str(each.status), *each.flags, each.served_by))) for each in answers)
    return f"{len(answers)} calls: " + ", ".join(f"{count} times {what}" for what, count in counts.most_common(6))


def _why(explanation: Explanation) -> tuple[str, ...]:
    """How it was decided: the hops up to the one that decides; of a call that is let through, the first."""
    hops = explanation.hops
    end = 1 if explanation.served else hops.index(explanation.deciding) + 1
    return tuple(story(Explanation(explanation.question, hops[:end])).splitlines()[2:])


def _host(case: Case) -> str:
    return urlsplit(Call.of(case.call).url).hostname or ""


def _script(answers: Iterable[Respond]) -> Script:
    return [*map(_action, answers)] or OWN_NAME


def _action(answer: Respond) -> Action:
    if answer.hang:
        return hang()
    if answer.reset:
        return reset()
    if answer.echo:
        return echo(answer.status)
    return respond(answer.status, answer.body, answer.headers, delay=answer.delay or 0.0, trailers=answer.trailers)


def _within(span: Span | None) -> Within | None:
    if span is None:
        return None
    if span.exactly is not None:
        return Within.about(span.exactly)
    most = Within().at_most if span.atMost is None else span.atMost
    return Within(span.atLeast or 0.0, most)


def _real_time() -> float:
    return time.perf_counter()
