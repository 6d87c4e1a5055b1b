"""A study as one file that can be cited, and checked by whoever receives it."""
