"""The data plane: connections in, routed and guarded, connections out."""
