"""Composition roots, the only place of wiring: control, sidecar, gateway, demo."""
