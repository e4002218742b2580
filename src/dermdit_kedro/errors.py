"""The one error a user is meant to read."""


class UserError(RuntimeError):
    """Something the user can mend: the message names the rule, the value and the way out.

    The command line prints the message alone, without a traceback, and exits with status 1.
    """
