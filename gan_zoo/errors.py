"""The one exception that the zoo raises for what a user can put right."""


class UserError(ValueError):
    """Bad input: a name, a number, a file or a folder that cannot be used.

    The message is one or two plain sentences that name the argument, say what is wrong with it and what would do.
    Command-line tools print it without a traceback and exit with status 2.
    """
