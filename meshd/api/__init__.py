"""The user's language: Istio, Kubernetes and meshd kinds as frozen values; no behaviour."""
