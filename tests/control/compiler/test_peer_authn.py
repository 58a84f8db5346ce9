"""Which mode a workload's port has: mesh, namespace, workload, port; oldest wins; UNSET inherits."""

from __future__ import annotations

from meshd.api.security import MutualTLSMode
from meshd.control.compiler.peer_authn import Decided, concerning, decided_at, mode_at, ports_set
from meshd.control.mesh import Mesh
from tests.control.documents import documents

LABELS = (("app", "web"),)


def policy(name: str, spec: str, namespace: str = "default", stamp: str = "2020-01-01T00:00:00Z") -> str:
    return f"""
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: {name}, namespace: {namespace}, creationTimestamp: "{stamp}"}}
spec: {spec}
"""


def mode(text: str, port: int = 80, namespace: str = "default") -> str:
    policies = concerning(Mesh.of(documents(text)).peer_authentications, namespace)
    return mode_at(policies, namespace, LABELS, port).value


ROOT = "istio-system"
WEB = "selector: {matchLabels: {app: web}}"


def test_the_default_is_permissive() -> None:
    assert mode("") == "PERMISSIVE"
    assert mode(policy("p", "{}")) == "PERMISSIVE"


def test_scopes() -> None:
    mesh = policy("m", "{mtls: {mode: STRICT}}", ROOT)
    namespace = policy("ns", "{mtls: {mode: DISABLE}}")
    workload = policy("w", f"{{{WEB}, mtls: {{mode: PERMISSIVE}}}}")
    assert mode(mesh) == "STRICT"
    assert mode(mesh + namespace) == "DISABLE"
    assert mode(mesh + namespace + workload) == "PERMISSIVE"
    assert mode(mesh + namespace, namespace="other") == "STRICT"
    assert mode(mesh, namespace=ROOT) == "STRICT"


def test_unset_takes_the_scope_above() -> None:
    mesh = policy("m", "{mtls: {mode: STRICT}}", ROOT)
    assert mode(mesh + policy("ns", "{mtls: {mode: UNSET}}")) == "STRICT"
    assert mode(mesh + policy("w", f"{{{WEB}}}")) == "STRICT"


def test_the_oldest_of_a_scope_counts() -> None:
    young = policy("a", "{mtls: {mode: STRICT}}", stamp="2022-01-01T00:00:00Z")
    assert mode(young + policy("b", "{mtls: {mode: DISABLE}}")) == "DISABLE"


def test_ports_count_with_a_selector_only() -> None:
    ports = "portLevelMtls: {'80': {mode: DISABLE}, '81': {mode: UNSET}, x: {mode: STRICT}}"
    workload = policy("w", f"{{{WEB}, mtls: {{mode: STRICT}}, {ports}}}")
    assert [mode(workload, port) for port in (80, 81, 82)] == ["DISABLE", "STRICT", "STRICT"]
    policies = concerning(Mesh.of(documents(workload)).peer_authentications, "default")
    assert ports_set(policies, "default", LABELS) == (80, 81)
    assert ports_set(policies, "default", (("app", "other"),)) == ()


def test_a_selector_that_does_not_match_and_one_in_the_root_namespace_are_nothing() -> None:
    assert mode(policy("w", "{selector: {matchLabels: {app: other}}, mtls: {mode: STRICT}}")) == "PERMISSIVE"
    assert mode(policy("w", f"{{{WEB}, mtls: {{mode: STRICT}}}}", ROOT)) == "PERMISSIVE"
    assert mode(policy("w", f"{{{WEB}, mtls: {{mode: STRICT}}}}", ROOT), namespace=ROOT) == "PERMISSIVE"


def test_modes_are_istios() -> None:
    assert MutualTLSMode.PERMISSIVE.value == "PERMISSIVE"


def test_who_decided() -> None:
    text = (
        policy("m", "{mtls: {mode: STRICT}}", ROOT)
        + policy("ns", "{mtls: {mode: UNSET}}")
        + policy("w", f"{{{WEB}, portLevelMtls: {{'80': {{mode: DISABLE}}, '81': {{mode: UNSET}}}}}}")
    )
    policies = concerning(Mesh.of(documents(text)).peer_authentications, "default")

    def decided(port: int, known: tuple[tuple[str, str], ...] = LABELS) -> tuple[str, str, str]:
        found = decided_at(policies, "default", known, port)
        return found.mode.value, str(found.policy), found.path

    by_mesh = ("STRICT", "PeerAuthentication istio-system/m", "spec.mtls.mode")
    assert decided(80) == ("DISABLE", "PeerAuthentication default/w", 'spec.portLevelMtls["80"].mode')
    assert decided(81) == decided(82) == decided(80, ()) == by_mesh
    assert decided_at((), "default", LABELS, 80) == Decided()
