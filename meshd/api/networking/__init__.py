"""``networking.istio.io``: how traffic flows."""
