"""What did not change is not compiled again, and is the very same object."""

from __future__ import annotations

from meshd.api.document import Document
from meshd.control.compiler import Memo, compile_snapshot
from meshd.control.mesh import Mesh
from meshd.control.scope import Scope
from meshd.snapshot.wire import encode
from tests.control.documents import documents


def service(number: int, timeout: int = 1) -> str:
    return f"""
---
apiVersion: v1
kind: Service
metadata: {{name: s{number}}}
spec: {{selector: {{app: s{number}}}, ports: [{{port: 80, name: http}}]}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: s{number}}}
spec: {{hosts: [s{number}], http: [{{timeout: {timeout}s, route: [{{destination: {{host: s{number}}}}}]}}]}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: s{number}}}
spec: {{address: 10.0.0.{number}, labels: {{app: s{number}}}}}
"""


def mesh(*, changed: int = -1) -> list[Document]:
    return [each for number in range(20) for each in documents(service(number, 2 if number == changed else 1))]


def test_calls_with_equal_arguments_are_made_once() -> None:
    memo = Memo()
    made: list[int] = []

    def double(value: int) -> int:
        made.append(value)
        return 2 * value

    assert [memo.call(double, 1), memo.call(double, 1), memo.call(double, 2)] == [2, 2, 4]
    assert made == [1, 2]
    assert memo.statistics() == (2, 2)


def test_what_two_meshes_did_not_use_is_forgotten() -> None:
    memo = Memo()
    made: list[int] = []

    def note(value: int) -> None:
        made.append(value)

    first, second, third = (Mesh.of([]) for _ in range(3))
    for each in (first, first, second):
        memo.turn_to(each)
        memo.call(note, 1)
    assert made == [1]
    memo.turn_to(third)
    memo.turn_to(first)
    memo.call(note, 1)
    assert made == [1, 1]


def test_one_change_compiles_one_service_again() -> None:
    memo = Memo()
    scope = Scope(labels=(("app", "s1"),), app_ports=(80,))
    before = compile_snapshot(Mesh.of(mesh()), scope, memo)
    _, made = memo.statistics()
    after = compile_snapshot(Mesh.of(mesh(changed=7)), scope, memo)
    # What the rule reads, its routes, the virtual host that has them; and of a new mesh the index and the view.
    assert memo.statistics()[1] - made == 5
    (old,), (new,) = ([each for each in found.route_tables if each.name == "80"] for found in (before, after))
    changed = [b.name for a, b in zip(old.virtual_hosts, new.virtual_hosts, strict=True) if a is not b]
    assert changed == ["s7.default.svc.cluster.local:80"]
    assert all(a is b for a, b in zip(before.clusters[-20:], after.clusters[-20:], strict=True))
    ours, theirs = encode(before, memo.encoded), encode(after, memo.encoded)
    sent = {name: part for name, part in theirs.parts.items() if name not in ours.parts}
    assert len(sent) <= 2


def test_a_memo_changes_nothing_but_the_work() -> None:
    memo = Memo()
    for documents_ in (mesh(), mesh(changed=3), mesh()):
        built = Mesh.of(documents_)
        for scope in (Scope(), Scope(namespace="other"), Scope(labels=(("app", "s2"),), app_ports=(80,))):
            assert compile_snapshot(built, scope, memo) == compile_snapshot(built, scope)


def test_proxies_share_what_is_the_same_for_both() -> None:
    memo = Memo()
    built = Mesh.of(mesh())
    compile_snapshot(built, Scope(labels=(("app", "s1"),)), memo)
    _, made = memo.statistics()
    compile_snapshot(built, Scope(labels=(("app", "s2"),)), memo)
    assert memo.statistics()[1] == made
