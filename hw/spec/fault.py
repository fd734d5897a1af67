"""What can be told to go wrong, for the tests of error handling and of lossless links."""

from hw.spec.enums import IntEnum


class Fault(IntEnum, shape=3):
    """Each fault hits one request of the accelerator, then the endpoint behaves again."""

    NONE = 0
    SILENT_READ = 1
    DUPLICATE_READ = 2
    UNKNOWN_READ = 3
    SHORT_READ = 4
    SILENT_WRITE = 5
    DUPLICATE_WRITE = 6
    UNKNOWN_WRITE = 7


class Disturbance(IntEnum, shape=4):
    """What a simulation can do to a system from outside, each at a rate of its own.

    ``rtl/sim/faults.cpp`` is compiled with these numbers.
    """

    BER = 0
    BURST = 1
    DROP = 2
    DUPLICATE = 3
    CREDITS = 4
    DOWN = 5
    STALL = 6
    WRONG = 7
    CUT = 8


DISTURBANCE_DOC = {
    Disturbance.BER: "per bit on a link: it is flipped",
    Disturbance.BURST: "per flit on a link: up to 32 neighbouring bits of it are random",
    Disturbance.DROP: "per flit on a link: it is lost",
    Disturbance.DUPLICATE: "per flit on a link: it comes twice",
    Disturbance.CREDITS: "per cycle and link: returned credits are lost for up to 1000 cycles",
    Disturbance.DOWN: "per cycle and link: nothing passes for up to 1000 cycles",
    Disturbance.STALL: "per cycle and endpoint: its memory answers nothing for up to 1000 cycles",
    Disturbance.WRONG: "per round of a soak: an endpoint answers a request wrongly, see Fault",
    Disturbance.CUT: "1: in the middle of the run the last endpoint's link is cut; one round more",
}
