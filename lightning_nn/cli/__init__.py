"""The way from a command line to an exit code; each verb has a file."""
