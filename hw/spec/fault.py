"""How an endpoint can be told to misbehave, for the tests of error handling."""

from amaranth.lib import enum


class Fault(enum.IntEnum, shape=3):
    """Each fault hits one request of the accelerator, then the endpoint behaves again."""

    NONE = 0
    SILENT_READ = 1
    DUPLICATE_READ = 2
    UNKNOWN_READ = 3
    SHORT_READ = 4
    SILENT_WRITE = 5
    DUPLICATE_WRITE = 6
    UNKNOWN_WRITE = 7
