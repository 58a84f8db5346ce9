"""Analyses that Istio does not have."""
