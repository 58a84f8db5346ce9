"""What would happen to a request, rule by rule, and why: the deciding parts of proxy and control plane, without traffic."""
