"""One training: the module, its callbacks, its loggers."""
