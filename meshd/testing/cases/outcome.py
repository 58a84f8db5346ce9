"""What came of cases. Pure values."""

from __future__ import annotations

import attrs

from meshd.api.document import Origin
from meshd.control.finding import Finding
from meshd.testing.cases.form import Case
from meshd.testing.cases.reading import Suite


@attrs.frozen
class Failure:
    """One expectation that does not hold, and where it stands."""

    field: str
    expected: str
    got: str
    origin: Origin


@attrs.frozen
class Outcome:
    """What came of one case."""

    suite: Suite
    case: Case
    origin: Origin
    """Where the case stands."""
    failures: tuple[Failure, ...] = ()
    error: str = ""
    """Why it could not be played, "" when it could."""
    story: str = ""
    """What happened, in a sentence; "" when no call was made."""
    why: tuple[str, ...] = ()
    """How the configuration decided, step by step."""
    took: float = 0.0
    """Real seconds."""

    @property
    def passed(self) -> bool:
        """Does everything hold?"""
        return not self.failures and not self.error


@attrs.frozen
class Played:
    """What came of a document of cases: outcomes, or findings of why its configuration cannot be used."""

    suite: Suite
    outcomes: tuple[Outcome, ...] = ()
    findings: tuple[Finding, ...] = ()
