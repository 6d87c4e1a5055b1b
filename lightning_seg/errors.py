"""The one exception that users are meant to see."""


class UserError(Exception):
    """Something that the user can put right: the message says what, where and what to do.

    Entry points print the message alone, without a traceback, and exit with a non-zero code.
    """
