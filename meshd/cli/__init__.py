"""The command line: parse flags, call a mode; nothing heavy is imported before it is needed."""
