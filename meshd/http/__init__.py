"""One HTTP stack for the proxy's two sides, the control plane's API, the agent and every client."""
