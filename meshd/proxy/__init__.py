"""The data plane: runs a ``Snapshot`` over a ``Network``."""
