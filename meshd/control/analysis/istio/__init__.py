"""Istio's own analyzers: their codes, levels and judgement, in our words."""
