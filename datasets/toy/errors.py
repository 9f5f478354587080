"""The one error a user can cause."""


class ToyError(ValueError):
    """A wrong argument or an unusable folder; the message is one line that names the flag and what to do."""
