"""``gateway.networking.k8s.io``: the Gateway API's kinds as frozen values."""
