"""What every code means and how to mend what it says: for people and for ``docs/reference/analysis.md``. Pure values."""

from __future__ import annotations

from typing import Final

from meshd.control.analysis.advice_form import Advice
from meshd.control.analysis.istio.advice import ADVICE as ISTIOS
from meshd.control.analysis.own.advice import ADVICE as OWN

READING: Final[dict[str, Advice]] = {
    "MD0001": Advice(
        "A file, or a part of it, is no YAML that can be read: syntax, a limit, or something unusual such as a tag.",
        "Mend the line that the message names.",
    ),
    "MD0002": Advice(
        "A field is known to Istio, and meshd does not act upon it.",
        "Remove it, or do without its effect; where Istio runs the mesh, leave it out of the report with -S MD0002.",
    ),
    "MD0003": Advice(
        "A kind is known to Istio, and meshd does not act upon it.",
        "Remove it, or do without its effect; where Istio runs the mesh, leave it out of the report with -S MD0003.",
    ),
    "MD0004": Advice("A kind configures no proxy; at most, analyses read it."),
    "MD0005": Advice("A field has no effect in Istio either, or none outside Kubernetes."),
    "MD0006": Advice(
        "The same object is written twice; the newer file, else the later one, is in force.",
        "Remove one of them.",
    ),
    "MD0007": Advice("A file or directory cannot be read.", "Correct the path or its permissions."),
    "MD0008": Advice("A document cannot be used, and its last good form stays in force.", "Mend the document."),
    "MD0080": Advice(
        "A host of a VirtualService is served by none of its gateways, though others of its hosts are.",
        "Add the host to a Gateway, or remove it.",
    ),
    "MD0081": Advice(
        "A listener of a Sidecar wants a port of its own (captureMode NONE) that the proxy itself listens on; it is left out.",
        "Give it another port.",
    ),
}
"""Codes of reading documents, and of what is beside Istio's analyzers."""

ADVICE: Final[dict[str, Advice]] = {**ISTIOS, **READING, **OWN}
"""By code."""
