"""The errors that a user can cause or meet, one class for each place of the house where things go wrong.

Every message says what was expected, what came, where (file, key, layer, cluster) and what to do. The command line
prints the message alone; ``--debug`` adds the traceback.
"""


class EmulatorError(Exception):
    """Base of every error that is shown to the user as one message without a traceback."""

    exit_code = 1


class ConfigError(EmulatorError, ValueError):
    """A configuration file is missing, malformed or holds an impossible value."""

    exit_code = 2


class NetworkError(EmulatorError, ValueError):
    """A network cannot be read, quantised or expressed with the supported layers."""

    exit_code = 3


class InputError(EmulatorError, ValueError):
    """Input images are missing, unreadable or of the wrong size."""

    exit_code = 3


class MappingError(EmulatorError, ValueError):
    """A network does not fit the chip under the given policy."""

    exit_code = 4


class ProgramError(EmulatorError, ValueError):
    """A program breaks one of its own rules: ends that do not match, an L1 that overflows, a deadlock."""

    exit_code = 5


class CausalityError(EmulatorError, RuntimeError):
    """The timing engine was given an event that lies in its past: a defect of the emulator, never of the input."""

    exit_code = 6


class ParallelError(EmulatorError, RuntimeError):
    """The MPI job cannot run as asked: rank counts that disagree, more ranks than clusters, a mismatched message."""

    exit_code = 7
