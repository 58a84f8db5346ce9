"""A whole mesh inside a test: one process, memory connections, virtual time.

``open_mesh`` is the way in (or the pytest fixture ``mesh``); see ``docs/how-to/test-a-mesh.md``.
"""

from meshd.testing.answer import Answer
from meshd.testing.app import Action, Behaviour, FakeApp, Received, Script, echo, hang, reset, respond
from meshd.testing.control import ControlProcess
from meshd.testing.loading import Settling
from meshd.testing.mesh import Mesh
from meshd.testing.opening import open_mesh, run_mesh
from meshd.testing.proxies import ProxyProcess
from meshd.testing.records import AccessRecord
from meshd.testing.workload import Gateway, Outsider, Service, Workload

__all__ = [
    "AccessRecord",
    "Action",
    "Answer",
    "Behaviour",
    "ControlProcess",
    "FakeApp",
    "Gateway",
    "Mesh",
    "Outsider",
    "ProxyProcess",
    "Received",
    "Script",
    "Service",
    "Settling",
    "Workload",
    "echo",
    "hang",
    "open_mesh",
    "reset",
    "respond",
    "run_mesh",
]
