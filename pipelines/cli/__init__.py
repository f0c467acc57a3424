"""The command line: one module per command, the same words as the UI."""
