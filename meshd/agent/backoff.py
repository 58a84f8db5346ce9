"""How long to wait before trying again. Pure."""

from __future__ import annotations

import attrs

SECONDS = 1.0


@attrs.frozen
class Backoff:
    """Doubles from ``first`` to ``most``; each wait is drawn between half of it and the whole.

    The draw keeps proxies that lost their control plane at one moment from
    coming back at one moment.
    """

    first: float = 0.2 * SECONDS
    """A control plane that restarts is back within a second."""
    most: float = 5 * SECONDS
    """A try at an address where nobody listens costs microseconds; a thousand proxies that come back within five
    seconds cost the control plane a third of a core (1.7 ms for each handshake, measured)."""

    def after(self, failures: int, draw: float, *, at_least: float = 0.0) -> float:
        """Seconds to wait.

        Args:
            failures: In a row, 1 or more.
            draw: Random in [0, 1].
            at_least: What the other side asked for (Retry-After); a little is added, so that not all come at once.
        """
        whole = min(self.most, self.first * 2.0 ** min(failures - 1, 30))
        return max(whole * (0.5 + 0.5 * draw), at_least * (1 + 0.2 * draw))
