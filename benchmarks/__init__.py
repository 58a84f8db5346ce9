"""Side-by-side measurements of meshd and its peers; see README.md here."""
