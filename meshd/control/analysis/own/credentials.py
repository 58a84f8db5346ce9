"""Certificates in Secrets that no gateway uses. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from meshd.api.document import Document
from meshd.api.foreign import Foreign, look_up
from meshd.api.gateway_api.gateway import Gateway as KubernetesGateway
from meshd.api.kubernetes import Secret
from meshd.api.networking.destination_rule import DestinationRule
from meshd.api.networking.gateway import Gateway
from meshd.control.analysis.facts import Facts, told
from meshd.control.analysis.own.remarks import remark
from meshd.control.finding import Finding

CREDENTIAL_UNUSED: Final = "MD0045"

CERTIFICATE_KEYS: Final = frozenset({"tls.crt", "cert"})
CA_SUFFIX: Final = "-cacert"


def credentials(facts: Facts) -> Iterable[Finding]:
    """Secrets with a certificate that lie where gateways find theirs, and that no object here names."""
    gateways = {name for document in facts.all(Gateway) for name in _of_gateway(document)}
    if not gateways or facts.lost("Gateway", "DestinationRule"):
        return
    used = gateways | {name for document in facts.documents for name in _of_others(document)}
    secrets = facts.all(Secret)
    places = {document.namespace for document in secrets if document.name in gateways}
    for document in secrets:
        secret: Secret = document.resource
        names = {document.name, document.name.removesuffix(CA_SUFFIX)}
        holds = CERTIFICATE_KEYS & {*secret.data, *secret.stringData}
        if document.namespace in places and holds and not names & used:
            yield from told(
                document,
                [
                    remark(
                        CREDENTIAL_UNUSED,
                        ("metadata", "name"),
                        "no Gateway names this certificate as its credentialName: it is served to nobody; "
                        "name it, or remove it",
                        at_value=True,
                    )
                ],
            )


def _of_gateway(document: Document) -> Iterator[str]:
    for server in document.resource.servers:
        if server.tls is not None:
            named = (server.tls.credentialName, server.tls.caCertCredentialName, *server.tls.credentialNames)
            yield from (name.rpartition("/")[2] for name in named if name)


def _of_others(document: Document) -> Iterator[str]:
    """Names of secrets in objects of other kinds."""
    resource = document.resource
    if isinstance(resource, DestinationRule):
        policies = [resource.trafficPolicy, *(subset.trafficPolicy for subset in resource.subsets)]
        for policy in policies:
            blocks = [] if policy is None else [policy.tls, *(each.tls for each in policy.portLevelSettings)]
            yield from (tls.credentialName for tls in blocks if tls is not None and tls.credentialName)
    elif isinstance(resource, KubernetesGateway):
        tls = (listener.tls for listener in resource.listeners)
        yield from (each.name for settings in tls if settings is not None for each in settings.certificateRefs)
    elif isinstance(resource, Foreign):
        yield from _named(resource.content)


def _named(value: Any) -> Iterator[str]:
    """What any ``secretName`` says."""
    for entry in (*(look_up(value, "spec", "tls") or ()), *_volumes(value)):
        name = look_up(entry, "secretName") or look_up(entry, "secret", "secretName")
        if isinstance(name, str):
            yield name


def _volumes(value: Any) -> tuple[Any, ...]:
    found = look_up(value, "spec", "volumes") or look_up(value, "spec", "template", "spec", "volumes")
    return found if isinstance(found, tuple) else ()
