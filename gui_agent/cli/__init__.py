"""The command line: finds commands by name, builds their settings, turns errors into exit codes."""
