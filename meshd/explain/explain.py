"""Questions in, explanations out. Pure."""

from __future__ import annotations

from typing import Any

import attrs

from meshd.explain.decision import SERVED, Verdict
from meshd.explain.hops import Hop, journey
from meshd.explain.question import Question
from meshd.explain.viewpoint import believed, translated, viewpoint
from meshd.explain.world import World

BROKEN_CONNECTION = 503
"""What a client's sidecar answers when the server's resets the connection."""


@attrs.frozen
class Explanation:
    """The hops of a call, the proxy that was asked first.

    Verdict, status and reason are the call's: of the first hop that does not let
    it go on, else of the last one.
    """

    question: Question
    hops: tuple[Hop, ...]

    @property
    def deciding(self) -> Hop:
        """The hop whose decision is the call's."""
        return next((hop for hop in self.hops if hop.decision.verdict is not Verdict.ALLOW), self.hops[-1])

    @property
    def verdict(self) -> Verdict:
        """How the call ends."""
        return self.deciding.decision.verdict

    @property
    def status(self) -> int:
        """What the client gets from meshd, 0 when a backend answers or nobody does."""
        decision = self.deciding.decision
        if (
            decision.verdict is Verdict.RESET
            and self.deciding is not self.hops[0]
            and self.hops[0].decision.route_config
        ):
            return BROKEN_CONNECTION
        return decision.status

    @property
    def reason(self) -> str:
        """Why it is not served, "" when it is."""
        decision = self.deciding.decision
        if self.deciding is self.hops[0] or not decision.reason:
            return decision.reason
        return f"at the {self.deciding.view}: {decision.reason}"

    @property
    def served(self) -> bool:
        """Whether the configuration means the call to get what it gets."""
        return self.verdict in SERVED

    def to_json(self) -> dict[str, Any]:
        """As ``-o json`` has it: the asked proxy's decision, the call's verdict, and the hops after the first."""
        first = self.hops[0]
        found = first.decision.to_json()
        found |= {"verdict": self.verdict.value, "status": self.status, "reason": self.reason}
        return {
            **found,
            "proxy": str(first.view),
            "note": first.note,
            "decided_by": str(self.deciding.view),
            "next": [{"proxy": str(hop.view), "note": hop.note, **hop.decision.to_json()} for hop in self.hops[1:]],
        }


def explain(world: World, question: Question) -> Explanation:
    """What happens to a call, and why.

    With ``mode`` it is exactly one proxy's decision; else the call is followed
    to the server's end.

    Raises:
        QuestionError: the question is none, or names nobody.
        ConfigError: the configuration cannot be run.
    """
    asked = question.call()
    view = viewpoint(world, question, asked)
    call = believed(asked, view)
    if not question.mode:
        view, call = translated(world, view, call)
    hops = journey(world, view, call, further=not question.mode)
    return Explanation(question, hops)
