"""What could not be read may say anything: nothing is concluded from its absence."""

from __future__ import annotations

import pytest

from meshd.api.document import Key
from meshd.control.analysis.analysis import Run
from meshd.control.analysis.facts import Facts
from meshd.control.analysis.own.credentials import credentials
from meshd.control.analysis.own.delegates import delegates
from meshd.control.analysis.own.gateway_bindings import hosts_without_routes
from meshd.control.analysis.own.policy_reach import requests_on_tcp
from meshd.control.analysis.own.policy_scopes import selectors
from meshd.control.analysis.own.rules_together import unseen_subsets, unused_subsets
from meshd.control.analysis.own.visibility import without_endpoints
from tests.control.analysis.own import (
    test_credentials,
    test_delegates,
    test_gateway_bindings,
    test_policy_reach,
    test_policy_scopes,
    test_rules_together,
    test_visibility,
)
from tests.control.analysis.own.cases import facts, rule, virtual_service, workload


@pytest.mark.parametrize(
    ("run", "sources", "kind"),
    [
        (delegates, (test_delegates.delegate(),), "VirtualService"),
        (
            unused_subsets,
            (virtual_service(test_rules_together.TO_V1), test_rules_together.RULE),
            "VirtualService",
        ),
        (
            unseen_subsets,
            (
                test_rules_together.TO_OTHER,
                test_rules_together.SERVICE,
                rule(
                    f"{{{test_rules_together.HOST}, subsets: [{test_rules_together.V1}], exportTo: [.]}}",
                    namespace="other",
                ),
            ),
            "DestinationRule",
        ),
        (
            credentials,
            (test_credentials.GATEWAY, test_credentials.secret("used"), test_credentials.secret("other")),
            "Gateway",
        ),
        (selectors, (test_policy_scopes.KINDS[0], test_policy_scopes.OTHER), "Deployment"),
        (without_endpoints, (test_visibility.TO_A, test_visibility.LOST, workload("b", "app: b")), "Pod"),
        (
            requests_on_tcp,
            (
                test_policy_reach.authorization(test_policy_reach.HTTP_RULE),
                test_policy_reach.A,
                test_policy_reach.BOTH,
            ),
            "AuthorizationPolicy",
        ),
        (
            hosts_without_routes,
            (test_gateway_bindings.gateway(f"{test_gateway_bindings.HTTP}, hosts: [b.example]"),),
            "VirtualService",
        ),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_nothing_is_concluded(run: Run, sources: tuple[str, ...], kind: str) -> None:
    known = facts(*sources)
    assert len(list(run(known))) == 1
    assert list(run(Facts.of(known.documents, unusable=[Key("", kind, "default", "unread")]))) == []
