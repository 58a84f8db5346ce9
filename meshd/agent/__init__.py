"""The proxy's side of the control plane: certificates, configuration, registration, and what is kept on disk."""

from meshd.agent.agent import Agent
from meshd.agent.backoff import Backoff
from meshd.agent.config import AgentConfig, AgentLimits, AgentStatus, World

__all__ = ["Agent", "AgentConfig", "AgentLimits", "AgentStatus", "Backoff", "World"]
