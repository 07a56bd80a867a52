"""Exceptions for what a user can put right: before anything has begun, and when the machine gives out."""


class UserError(ValueError):
    """Bad input: a name, a number, a file or a folder that cannot be used.

    The message is one or two plain sentences that name the argument, say what is wrong with it and what would do.
    Command-line tools print it without a traceback and exit with status 2.
    """


class NotWritten(RuntimeError):
    """A run has stopped because a file could not be written or read: a full disk, a folder that is gone.

    Command-line tools print the message without a traceback and exit with status 1.
    """
