"""Findings in the log: one clear line each, written once for as long as it holds."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

import attrs

from meshd.api.problem import Level
from meshd.control.finding import Finding

logger = logging.getLogger(__name__)

LEVELS = {Level.ERROR: logging.ERROR, Level.WARNING: logging.WARNING, Level.INFO: logging.INFO}
MOST_AT_ONCE = 100
"""Lines for one change; a directory full of nonsense must not fill the log."""


@attrs.define
class FindingLog:
    """Remembers what was said."""

    _said: Mapping[str, Level] = attrs.field(factory=dict)

    def tell(self, findings: Iterable[Finding]) -> None:
        """Log what was not there last time, and once that all errors are gone."""
        now = {str(finding): finding.level for finding in findings}
        fresh = [text for text in now if text not in self._said]
        for text in fresh[:MOST_AT_ONCE]:
            logger.log(LEVELS[now[text]], "%s", text)
        if len(fresh) > MOST_AT_ONCE:
            logger.warning("and %d more findings", len(fresh) - MOST_AT_ONCE)
        if Level.ERROR in self._said.values() and Level.ERROR not in now.values():
            logger.info("no errors any more in the configuration")
        self._said = now
