"""The command line, through the console script that an installation has."""
