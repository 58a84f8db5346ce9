"""The proxy's side of control: poll, keep on disk, register, rotate certificates, report."""
