"""MeshConfig and MeshNetworks: what holds for the whole mesh."""
