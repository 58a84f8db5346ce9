"""What is wrong with documents: each alone (``validation``), and together (``catalog``)."""
