"""Where documents come from. Every source publishes its whole set; ``ingest`` merges them."""
