"""The errors that users are meant to see."""


class UserError(Exception):
    """Something that the user can put right: the message says what, where and what to do.

    Entry points print the message alone, without a traceback, and exit with a non-zero code.
    """


class OutOfMemoryError(UserError):
    """A run needs more memory than there is, which may pass: a grid with ``retry`` tries it again."""


class UnreadableError(ValueError):
    """A file from outside is not what it should be; the message says why in a few words, without naming the file."""
