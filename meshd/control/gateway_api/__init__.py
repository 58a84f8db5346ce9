"""The Gateway API's objects as the rules that the compiler takes: Gateways and VirtualServices. Pure."""
