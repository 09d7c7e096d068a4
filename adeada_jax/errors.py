"""The one exception that is meant for the user's eyes."""


class InputError(ValueError):
    """Something the user gave is wrong: a key, a file, a value.

    The message is one line that names the thing and the remedy; the scripts print it without a
    traceback and exit with status 2.
    """
