"""Identity: SPIFFE ids, certificates, keys, bundles, rotation."""
