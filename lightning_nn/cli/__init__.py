"""From a command line to an exit code; a verb a file."""
