"""The errors that a user can cause and mend.

Each carries one line that names the thing (flag, folder, file) and what to do. Libraries raise them; only the
scripts print them (see `coopcut.util.cli`), so that nobody has to read a traceback to learn of a misspelt folder.
"""


class UserError(ValueError):
    """Something that the user asked for cannot be done; the message is one line that says what to change.

    agreed: every process of the run raises it, and the first one prints it.
    """

    agreed = False


class OptionError(UserError):
    """A flag is unknown, out of range, or contradicts another one."""


class DataError(UserError):
    """A folder or an image file cannot be used."""


class CheckpointError(UserError):
    """A checkpoint is missing, damaged, unsafe, or belongs to another architecture."""


class NonFiniteLossError(UserError):
    """A loss became infinite or not a number."""


class NoMemoryError(UserError):
    """The memory of the GPU or of the machine does not suffice; `reason` is what the allocator said."""

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


class StoppedError(UserError):
    """A signal, to this or another process of the run, ended what was being done."""


class PeerError(UserError):
    """Another process of the run is gone or does not answer."""


def of_system(error: OSError) -> str:
    """What the system says, in one line that names the file if there is one."""
    place = f"{error.filename}: " if error.filename else ""
    return f"{place}{error.strerror or first_line(error)}"


def first_line(error: BaseException) -> str:
    """The first line of the message of any error, at most 160 characters, or its type."""
    return (str(error).splitlines() or [type(error).__name__])[0][:160]
