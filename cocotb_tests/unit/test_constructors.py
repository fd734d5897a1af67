"""Every component refuses numbers and choices that it cannot be built with, and says why."""

import importlib
import inspect
import pkgutil

import pytest
from amaranth import Signal
from amaranth.hdl import Elaboratable, ShapeCastable
from amaranth.lib.crc import Algorithm

import hw
from hw.board.contents import Contents
from hw.board.core import BoardCore
from hw.board.registers import BoardRegisters
from hw.csr.axi_lite import AxiLiteBridge
from hw.dma.check import CommandCheck
from hw.dma.dma import Dma
from hw.dma.engine import Engine
from hw.dma.read_buffer import ReadBuffer
from hw.dma.segmenter import Segmenter
from hw.dma.sequencer import Sequencer
from hw.dma.writer import Writer
from hw.endpoint.attached import AttachedEndpoint
from hw.endpoint.endpoint import Endpoint
from hw.endpoint.read_server import ReadServer
from hw.endpoint.shuffle import Shuffle
from hw.endpoint.sync import Sync
from hw.endpoint.traffic import Traffic
from hw.endpoint.write_answer import WriteAnswer
from hw.endpoint.write_server import WriteServer
from hw.fabric.checksum import Checksum, Correction
from hw.fabric.merge import PacketArbiter
from hw.fabric.phy import DelayLine, FaultyLine
from hw.fabric.receiver import Receiver
from hw.fabric.transmitter import Transmitter
from hw.fabric.transport import Transport
from hw.host.command import CommandPort
from hw.host.decoder import HostDecoder
from hw.host.uart import UartReceiver, UartTransmitter
from hw.isa.average import AverageLane, Divisor
from hw.isa.block_scale import BlockScale
from hw.isa.controller import WaveController
from hw.isa.dequantize import DequantizeLane
from hw.isa.issue import Issue
from hw.isa.lane import ReduceLane
from hw.isa.port import IsaPort
from hw.isa.quantize import QuantizeLane
from hw.isa.read_request import ReadRequest
from hw.isa.retire import Retire
from hw.isa.writeback import Writeback
from hw.memory.atomic import Atomic
from hw.phy.frame import Framing
from hw.phy.training import Training
from hw.phy.transceiver_reset import TransceiverReset
from hw.spec.config import MAX_ENDPOINTS, Config, load
from hw.spec.formats import block_formats
from hw.spec.link import CHECKSUM, LinkParameters
from hw.spec.packet import (
    CORE_CHANNELS,
    FROM_ACCELERATOR,
    TO_ENDPOINT,
    TO_SWITCH,
    Channel,
    MessageClass,
    QueueSet,
)
from hw.stream.arbiter import RoundRobin, StreamArbiter
from hw.stream.delay import DelayRing
from hw.stream.queue import Queue
from hw.stream.shared_queues import SharedQueues
from hw.switch.crossbar import Crossbar
from hw.switch.path import SharedPath
from hw.switch.refuser import Refuser
from hw.switch.route import Route

# They are built to see what their constructors say.
pytestmark = pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")

CONFIG = load("tiny", {"system.endpoints": 3, "isa.wave_controllers": 4, "dma.engines": 2})
CONTENTS = Contents(CONFIG, switch=True, endpoints=2)
FORMATS = block_formats(CONFIG)

NO_NUMBERS = (True, 1.0, None, "1")
NO_SEQUENCES = (1, None, "1")


def at_least(least):
    """(good, bad) values of a number without an upper bound."""
    return (least, least + 1), (least - 1, -99, *NO_NUMBERS)


def within(first, last):
    return (first, last), (first - 1, last + 1, *NO_NUMBERS)


def below(count):
    return within(0, count - 1)


IDENTITY = ((0, MAX_ENDPOINTS - 1, Signal(6)), (-1, MAX_ENDPOINTS, *NO_NUMBERS))
OPERANDS = at_least(1)
CONTROLLER = below(CONFIG.isa.wave_controllers)
ENGINE = below(CONFIG.dma.engines)
PORT = below(CONFIG.system.endpoints)
QUEUE_SET = (tuple(QueueSet), (1, None, MessageClass.WRITE_REQUEST))
MESSAGE_CLASS = (tuple(MessageClass), (1, None, QueueSet.ISA))
SENT = (
    (TO_SWITCH, TO_ENDPOINT, (Channel.ISA_READ_REQUEST, Channel.CORE_READ_REQUEST)),
    ((), CORE_CHANNELS, FROM_ACCELERATOR, (*TO_SWITCH, TO_SWITCH[0]), (0, 4), *NO_SEQUENCES),
)
RECEIVED = (
    (TO_SWITCH, CORE_CHANNELS, (Channel.ISA_READ_REQUEST,)),
    ((), (*TO_SWITCH, TO_SWITCH[0]), (0, 4), *NO_SEQUENCES),
)
BLOCK_FORMATS = ((FORMATS, FORMATS[:1]), ((), *NO_SEQUENCES))

BOARD = {
    "contents": CONTENTS,
    "clock_khz": within(0, (1 << 32) - 1),
    "lanes": within(1, 8),
}
OF_ENDPOINT = {"config": CONFIG, "identity": IDENTITY}
OF_ENGINE = {"config": CONFIG, "identity": IDENTITY, "engine": ENGINE}
OF_SERVER = {"config": CONFIG, "queue_set": QUEUE_SET, "identity": IDENTITY}
OF_CONTROLLER = {"config": CONFIG, "index": CONTROLLER}
OF_PORT = {"config": CONFIG, "port": PORT}
OF_FORMATS = {"operands": OPERANDS, "formats": BLOCK_FORMATS}

COMPONENTS = {
    BoardCore: BOARD,
    BoardRegisters: BOARD,
    AxiLiteBridge: {
        "pages": (
            ([0], [3, 5], range(4)),
            ([], [-1, 0], [3, 1], [1, 1], [0, 1.0], [0, True], *NO_SEQUENCES),
        )
    },
    CommandCheck: OF_ENDPOINT,
    Segmenter: OF_ENDPOINT,
    Dma: OF_ENDPOINT,
    Engine: OF_ENGINE,
    ReadBuffer: OF_ENGINE,
    Sequencer: OF_ENDPOINT,
    Writer: OF_ENGINE,
    AttachedEndpoint: OF_ENDPOINT,
    Endpoint: OF_ENDPOINT,
    ReadServer: OF_SERVER,
    Shuffle: {"shape": 4, "slots": within(1, 16)},
    Sync: OF_ENDPOINT,
    Traffic: OF_ENDPOINT,
    WriteAnswer: OF_SERVER,
    WriteServer: OF_SERVER,
    Checksum: {"algorithm": CHECKSUM, "width": at_least(1)},
    Correction: {"width": at_least(1)},
    PacketArbiter: {"config": CONFIG, "count": at_least(1)},
    DelayLine: {"config": CONFIG, "cycles": at_least(2)},
    FaultyLine: {
        "config": CONFIG,
        "cycles": at_least(3),
        "index": below(2 * CONFIG.system.endpoints),
    },
    Receiver: {"config": CONFIG, "channels": RECEIVED},
    Transmitter: {"config": CONFIG, "channels": SENT},
    Transport: {
        "config": CONFIG,
        "transmit": SENT,
        "receive": RECEIVED,
        # Beside the first good value of ``transmit``.
        "buffered": (((), TO_SWITCH[:2]), (FROM_ACCELERATOR, TO_SWITCH[:1] * 2, *NO_SEQUENCES)),
    },
    CommandPort: {"timeout_cycles": at_least(2)},
    HostDecoder: {"register_bits": within(1, 31), "memories": within(0, 32)},
    UartReceiver: {"divisor": at_least(8)},
    UartTransmitter: {"divisor": at_least(8)},
    AverageLane: {"operands": OPERANDS},
    Divisor: {"operands": OPERANDS},
    BlockScale: OF_FORMATS,
    WaveController: OF_CONTROLLER,
    DequantizeLane: OF_FORMATS,
    Issue: OF_CONTROLLER,
    ReduceLane: {"operands": OPERANDS},
    IsaPort: OF_PORT,
    QuantizeLane: OF_FORMATS,
    ReadRequest: OF_PORT,
    Retire: OF_CONTROLLER,
    Writeback: OF_PORT,
    Atomic: {"config": CONFIG, "requesters": at_least(1)},
    Training: {"lanes": at_least(1), "settle_cycles": at_least(2)},
    TransceiverReset: {"settle_cycles": at_least(1)},
    RoundRobin: {"count": at_least(1)},
    StreamArbiter: {"shape": 4, "count": at_least(1)},
    DelayRing: {"width": at_least(0), "cycles": at_least(2)},
    Queue: {"shape": 4, "depth": at_least(2)},
    SharedQueues: {
        "shape": 4,
        "depths": (([1], [3, 1, 5]), ([], [0], [3, -1], [2, 2.0], [True], *NO_SEQUENCES)),
    },
    Crossbar: {"config": CONFIG, "message_class": MESSAGE_CLASS},
    SharedPath: {"config": CONFIG, "count": at_least(1)},
    Refuser: {
        "config": CONFIG,
        "message_class": (
            (MessageClass.READ_REQUEST, MessageClass.WRITE_REQUEST),
            (MessageClass.READ_RESPONSE, MessageClass.WRITE_RESPONSE, 0, None, QueueSet.CORE),
        ),
        "port": PORT,
    },
    Route: {"config": CONFIG, "message_class": MESSAGE_CLASS, "port": PORT},
}
"""The parameters of every component that takes a number or a choice: (good, bad) values of these,
and what else it needs."""

CHECKED_ELSEWHERE = {
    Config: "it is valid by construction",
    Contents: "it describes a board, and is made by partitions, which check it",
    Framing: "it describes a link, and is made by partitions, which check it",
    LinkParameters: "it is valid by construction",
    Algorithm: "Amaranth checks it",
    ShapeCastable: "Amaranth checks it",
    bool: "any value is true or false",
    Sync: "it is a component",
    Traffic: "it is a component",
}

EXCEPTIONS = {
    ("Behind", "shape"): "Amaranth checks it",
    ("ToPorts", "layout"): "it has no field ``ports``, says Amaranth",
    ("Shuffle", "shape"): "Amaranth checks it",
    ("StreamArbiter", "shape"): "Amaranth checks it",
    ("Queue", "shape"): "Amaranth checks it",
    ("SharedQueues", "shape"): "Amaranth checks it",
    ("Replicated", "members"): "it is the base of components, and has no gates",
    ("Replicated", "parameters"): "it is the base of components, and has no gates",
    ("_ReadSelect", "bus"): "it is made by the decoder of registers alone",
    ("_ReadSelect", "readable"): "it is made by the decoder of registers alone",
    ("_WriteCheck", "bus"): "it is made by the decoder of registers alone",
    ("_WriteCheck", "writable"): "it is made by the decoder of registers alone",
}

REASONS = {*CHECKED_ELSEWHERE, *EXCEPTIONS}


def checked(component):
    """The parameters of a component that have good and bad values, as pairs of tuples."""
    return {
        name: values for name, values in COMPONENTS[component].items() if isinstance(values, tuple)
    }


def sound(component):
    """Parameters that a component can be built with."""
    good = {name: values[0][0] for name, values in checked(component).items()}
    return COMPONENTS[component] | good


def cases(*, good):
    return [
        pytest.param(component, name, value, id=f"{component.__name__} {name}={value!r}")
        for component in COMPONENTS
        for name, values in checked(component).items()
        for value in values[0 if good else 1]
    ]


@pytest.mark.parametrize(("component", "name", "value"), cases(good=True))
def test_good_values(component, name, value):
    component(**sound(component) | {name: value})


@pytest.mark.parametrize(("component", "name", "value"), cases(good=False))
def test_bad_values(component, name, value):
    with pytest.raises((ValueError, TypeError)) as caught:
        component(**sound(component) | {name: value})
    text = str(caught.value)
    assert text.startswith(f"{name}: must be ")
    # Of several the one that is bad.
    shown = [value, *value] if isinstance(value, list | tuple) else [value]
    assert any(text.endswith(f", not {entry!r}") for entry in shown)


@pytest.mark.parametrize("component", [Dma, Endpoint, AttachedEndpoint])
def test_clocks_that_rest_need_a_number(component):
    component(CONFIG, identity=1, gated=True)
    with pytest.raises(TypeError, match="identity: must be a whole number, not "):
        component(CONFIG, identity=Signal(6), gated=True)


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: Issue(load("tiny"), index=99), "index: must be 0 … 1, not 99"),
        (lambda: ReduceLane(0), "operands: must be at least 1, not 0"),
        (
            lambda: Refuser(CONFIG, message_class=MessageClass.READ_RESPONSE, port=0),
            "message_class: must be one of READ_REQUEST, WRITE_REQUEST, "
            "not <MessageClass.READ_RESPONSE: 2>",
        ),
    ],
    ids=["within", "at least", "one of"],
)
def test_messages(build, text):
    with pytest.raises(ValueError, match=r"must be") as caught:
        build()
    assert str(caught.value) == text


def components():
    """Every class of ``hw`` that becomes gates and has a constructor of its own."""
    for found in pkgutil.walk_packages(hw.__path__, "hw."):
        module = importlib.import_module(found.name)
        for _, item in inspect.getmembers(module, inspect.isclass):
            here = item.__module__ == module.__name__ and issubclass(item, Elaboratable)
            if here and item.__init__.__module__.startswith("hw."):
                yield item


def test_every_parameter_is_here():
    unknown, needed = [], set()
    for component in components():
        known = checked(component) if component in COMPONENTS else {}
        for name, parameter in inspect.signature(component, eval_str=True).parameters.items():
            if name in known:
                continue
            reasons = {parameter.annotation, (component.__name__, name)} & REASONS
            needed |= reasons
            if not reasons:
                unknown.append(f"{component.__name__}: {name}")
    assert not unknown, "parameters without good and bad values"
    assert needed == REASONS, "exceptions that nothing needs"
