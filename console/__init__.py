"""Shows: the `akashi` command, one command a file."""
