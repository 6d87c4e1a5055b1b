"""From the command line to a checked configuration, and from that to the objects it names."""
