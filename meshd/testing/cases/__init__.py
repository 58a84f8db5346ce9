"""Tests of a configuration, written as YAML: ``meshd test``; see ``docs/reference/testing.md``."""
