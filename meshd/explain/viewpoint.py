"""Whose decision is asked for: from ``ns/service-account``, ``ingressgateway`` or plain facts to a proxy. Pure."""

from __future__ import annotations

from typing import Any, Final

import attrs

from meshd.api.networking.workload_entry import WorkloadEntry
from meshd.control.analysis.pod_facts import Known
from meshd.control.compiler.gateway_servers import means
from meshd.control.gateway_api.names import GATEWAY_NAME
from meshd.control.hosts import covers
from meshd.control.scope import Scope
from meshd.explain.call import Call, QuestionError, Tls
from meshd.explain.question import Question
from meshd.explain.world import World
from meshd.snapshot.common import Direction

GATEWAY_NAMESPACE: Final = "istio-system"
GATEWAY: Final = "ingressgateway"
INJECT: Final = "sidecar.istio.io/inject"
TLS_MODE: Final = "security.istio.io/tlsMode"


@attrs.frozen
class Viewpoint:
    """One proxy, and the way a call comes to it. ``notes`` are what had to be assumed."""

    mode: Direction
    scope: Scope
    name: str = ""
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.mode is Direction.GATEWAY:
            return f"gateway {self.name}"
        return f"sidecar of {self.name}, {self.mode.value}"


def viewpoint(world: World, question: Question, call: Call) -> Viewpoint:
    """The proxy that a question means.

    Raises:
        QuestionError: it names nobody, or contradicts itself.
    """
    if question.mode:
        return _exactly(world, question, Direction(question.mode))
    if question.through:
        return _through(world, question)
    if question.sender:
        return _from(world, question)
    gateway = _gateway_for(world, call)
    if gateway is not None:
        found = _through(world, attrs.evolve(question, through=gateway))
        note = f"asked of {found.name}, because a Gateway takes this host; --from NAMESPACE/ACCOUNT asks a sidecar"
        return _noted(found, note)
    found = _exactly(world, question, Direction.OUTBOUND)
    return _noted(
        found, f"asked of a sidecar in namespace {found.scope.namespace}; --from NAMESPACE/ACCOUNT says which"
    )


def _noted(view: Viewpoint, note: str) -> Viewpoint:
    """A viewpoint with one more assumption, the first one first."""
    return attrs.evolve(view, notes=(note, *view.notes))


def _exactly(world: World, question: Question, mode: Direction) -> Viewpoint:
    labels = question.labels
    if mode is Direction.GATEWAY:
        labels = labels or (("istio", question.through or GATEWAY),)
        namespace = question.namespace or GATEWAY_NAMESPACE
        scope = _scope(question, "gateway", namespace, labels)
        return Viewpoint(mode, scope, dict(labels).get("istio", "") or f"in {namespace}")
    if question.sender:
        found = _from(world, question)
        return attrs.evolve(found, mode=mode)
    scope = _scope(question, "sidecar", question.namespace or "default", labels)
    shown = ",".join(f"{key}={value}" for key, value in labels)
    return Viewpoint(mode, scope, f"{scope.namespace}/{shown or 'anybody'}")


def _scope(question: Question, kind: Any, namespace: str, labels: tuple[tuple[str, str], ...], **known: Any) -> Scope:
    return Scope(kind=kind, namespace=namespace, labels=labels, address=question.proxy_ip, **known)


def _from(world: World, question: Question) -> Viewpoint:
    namespace, slash, account = question.sender.partition("/")
    if not slash:
        namespace, account = question.namespace or "default", namespace
    if not account or not namespace or "/" in account:
        raise QuestionError(f"--from {question.sender!r} is nobody: expected NAMESPACE/SERVICE-ACCOUNT")
    known = [each for each in world.pods.everything if each.namespace == namespace and account_of(each) == account]
    # People name the workload as often as its account.
    known = known or [each for each in world.pods.everything if each.namespace == namespace and account in _names(each)]
    chosen = known[0] if known else None
    labels = question.labels or (tuple(chosen.labels.items()) if chosen is not None else ())
    scope = _scope(
        question,
        "sidecar",
        namespace,
        labels,
        service_account=(account_of(chosen) if chosen is not None else account) or "default",
        name=chosen.name if chosen is not None else "",
    )
    if not scope.address and chosen is not None:
        scope = attrs.evolve(scope, address=address_of(chosen))
    note = ""
    if chosen is None and not question.labels:
        note = f"no workload of {namespace}/{account} is known here, so it has no labels; --labels KEY=VALUE gives some"
    elif len({each.labels for each in known}) > 1 and not question.labels:
        note = f"several workloads run as {namespace}/{account}; this is {known[0].name}"
    return Viewpoint(Direction.OUTBOUND, scope, f"{namespace}/{account}", (note,) if note else ())


def _names(known: Known) -> set[str]:
    return {known.name, known.labels.get("app", ""), known.labels.get("app.kubernetes.io/name", "")} - {""}


def account_of(known: Known) -> str:
    """The service account a workload runs as."""
    resource = known.document.resource if known.document is not None else None
    if isinstance(resource, WorkloadEntry):
        return resource.serviceAccount
    spec = known.spec
    return str(spec.get("serviceAccountName") or spec.get("serviceAccount") or "default")


def address_of(known: Known) -> str:
    """Where a workload is reached, "" when documents do not say."""
    document = known.document
    if document is None:
        return ""
    if isinstance(document.resource, WorkloadEntry):
        return document.resource.address
    return str(document.status.get("podIP") or "") if document.kind == "Pod" else ""


def has_sidecar(known: Known) -> bool:
    """Whether a workload has (or will be given) a sidecar, as far as it says itself."""
    said = known.labels.get(INJECT) or known.annotations.get(INJECT)
    if said is not None:
        return said == "true"
    if known.document is not None and isinstance(known.document.resource, WorkloadEntry):
        mode = known.labels.get(TLS_MODE)
        return mode == "istio" if mode is not None else bool(known.document.resource.serviceAccount)
    return True


def _through(world: World, question: Question) -> Viewpoint:
    name = question.through
    labels, namespace = question.labels, question.namespace
    named = _gateway_named(world, name)
    if not labels:
        labels = tuple(named) if named else (("istio", name.rpartition("/")[2]),)
    known = _gateway_workload(world, dict(labels), namespace)
    if known is None and not named and not question.labels:
        # By the name of its Deployment or Service: istio-ingressgateway.
        known = next((each for each in world.pods.everything if each.name == name), None)
    scope = _scope(
        question,
        "gateway",
        namespace or (known.namespace if known is not None else GATEWAY_NAMESPACE),
        question.labels or (tuple(known.labels.items()) if known is not None else labels),
        service_account=account_of(known) if known is not None else "default",
        name=known.name if known is not None else name,
    )
    if not scope.address and known is not None:
        scope = attrs.evolve(scope, address=address_of(known))
    note = ""
    wanted = dict(scope.labels)
    if not any(means(gateway, wanted) for gateway in world.mesh.gateways):
        note = f"no Gateway selects {name}"
    elif known is None or known.document is None:
        whose = f"{scope.namespace}/{scope.service_account}"
        note = f"no workload of this gateway is known here, so it is taken to run as {whose}"
    return Viewpoint(Direction.GATEWAY, scope, name, (note,) if note else ())


def _gateway_named(world: World, name: str) -> tuple[tuple[str, str], ...]:
    """What selects the Gateway object of this name (``ns/name`` or ``name``)."""
    for gateway in world.mesh.gateways:
        own = gateway.annotations.get(GATEWAY_NAME, "") if gateway.gateway_api else ""
        if own and name in {own, f"{gateway.namespace}/{own}"}:
            return ((GATEWAY_NAME, own),)
        if name in {gateway.name, f"{gateway.namespace}/{gateway.name}"}:
            return tuple(gateway.resource.selector.items())
    return ()


def _gateway_workload(world: World, labels: dict[str, str], namespace: str) -> Known | None:
    found = world.pods.select(labels, namespace or None) if labels else ()
    return found[0] if found else None


def _selected(selector: Any, labels: dict[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in selector.items())


def _gateway_for(world: World, call: Call) -> str | None:
    """The Gateway whose server takes this host and port, when the mesh itself has no such service."""
    if _is_mesh_host(world, call.host):
        return None
    for gateway in world.mesh.gateways:
        for server in gateway.resource.servers:
            hosts = (host.rpartition("/")[2] for host in server.hosts)
            if server.port.number == call.port and any(host != "*" and covers(host, call.host) for host in hosts):
                return f"{gateway.namespace}/{gateway.name}"
    return None


def _is_mesh_host(world: World, host: str) -> bool:
    short = host.partition(".")[0]
    return any(service.host == host or service.host.startswith(f"{short}.") for service in world.mesh.services)


def is_gateway(world: World, labels: dict[str, str]) -> bool:
    """Whether a workload with these labels is a gateway: some Gateway selects it."""
    return any(
        gateway.resource.selector and _selected(gateway.resource.selector, labels) for gateway in world.mesh.gateways
    )


def translated(world: World, view: Viewpoint, call: Call) -> tuple[Viewpoint, Call]:
    """A call to a gateway's Service, at the port that the Service makes of it."""
    listeners = world.snapshot(view.scope).listeners
    if view.mode is not Direction.GATEWAY or any(each.port == call.port for each in listeners):
        return view, call
    behind = next((each for each in listeners if call.port in each.server_ports), None)
    if behind is None:
        return view, call
    note = f"the gateway's Service maps port {call.port} to {behind.port}"
    return _noted(view, note), attrs.evolve(call, port=behind.port)


def believed(call: Call, view: Viewpoint) -> Call:
    """The call with the facts that follow from where it starts."""
    if view.mode is Direction.OUTBOUND and not call.client:
        return attrs.evolve(call, client=view.scope.address)
    if view.mode is Direction.INBOUND and call.tls is Tls.MTLS and not call.address:
        return attrs.evolve(call, address=view.scope.address)
    return call
