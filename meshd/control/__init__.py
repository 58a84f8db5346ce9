"""The control plane: documents in, snapshots out; certificates; who runs what."""
