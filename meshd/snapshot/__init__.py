"""What one proxy must do: immutable values, the seam between control plane and data plane."""
