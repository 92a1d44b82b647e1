"""The `il` command, one subcommand per file; the only package that may import all the others."""
