"""Documents for tests that run a whole mesh."""

from __future__ import annotations


def virtual_service(http: str, host: str = "reviews", name: str = "") -> str:
    """A VirtualService with these HTTP routes (YAML, indented by two)."""
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: {name or host}
spec:
  hosts: [{host}]
  http:
{http}
"""


def subsets(host: str = "reviews", *versions: str, more: str = "") -> str:
    """A DestinationRule with a subset for each version."""
    rows = "\n".join(f"  - name: {version}\n    labels: {{version: {version}}}" for version in versions)
    return f"""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: {host}
spec:
  host: {host}
{more}  subsets:
{rows}
"""
