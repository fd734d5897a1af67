"""Partitions: presets load, what cannot be built is refused by name, wires have two ends."""

import tomllib

import pytest
from click.testing import CliRunner

from fpga.boards import board_names, load_board
from fpga.partition import PRESET_FOLDER, PartitionError, from_dict, load_partition, preset_names
from fpga.plan import plan_records, wiring_tables
from scin.main import main


def tree(name="star5"):
    return tomllib.loads((PRESET_FOLDER / f"{name}.toml").read_text())


@pytest.mark.parametrize("name", preset_names())
def test_presets(name):
    partition = load_partition(name)
    plan = plan_records(partition)
    placed = [instance for board in plan["boards"] for instance in board["instances"]]
    endpoints = partition.config.system.endpoints
    assert sorted(placed) == sorted(["switch", *(f"endpoint_{i}" for i in range(endpoints))])
    apart = [item for item in range(endpoints) if not partition.board_of(item).switch]
    assert [cut.endpoint for cut in partition.cuts] == apart


def test_a_cut_through_a_component_names_the_signal():
    given = tree()
    given["boards"]["switch"]["instances"] = ["switch.isa"]
    with pytest.raises(PartitionError, match=r"cut through signal switch\.isa\.bus\.address"):
        from_dict(given)


def change(path, value):
    def apply(given):
        *parents, last = path.split("/")
        for key in parents:
            given = given[key]
        given[last] = value

    return apply


@pytest.mark.parametrize(
    ("apply", "message"),
    [
        (change("clock_MHz", "fast"), "clock_MHz = 'fast': must be a whole number"),
        (change("clock_MHz", 1000), "clock_MHz = 1000: must be between 1 and 400"),
        (change("lanes", 8), "lanes = 8: link 0 of butterstick has pins for at most 6"),
        (change("speed", 1), "speed: unknown field"),
        (change("link", "aurora"), "link = 'aurora': must be pins or serdes"),
        (change("config", 3), "config = 3: must name a configuration"),
        (change("boards", {}), "boards = {}: must have a table for each board"),
        (change("boards/node0/board", "x"), "boards.node0.board = 'x': unknown"),
        (change("boards/node0", {}), "boards.node0 = {}: must have board and instances"),
        (change("boards/node0/instances", ["endpoint_1"]), "endpoint_1 is on node0 already"),
        (change("boards/node0/instances", ["endpoint_9"]), "endpoint_9: unknown"),
        (change("boards/node0/instances", []), "endpoint_0 on no board"),
        (change("boards/node0/board", "xcvu13p"), "its links are for vivado"),
        (
            change("boards/switch/instances", ["switch", "endpoint_3"]),
            "endpoints beside the switch must be the first ones",
        ),
    ],
)
def test_bad_partitions(apply, message):
    given = tree()
    apply(given)
    with pytest.raises(PartitionError) as error:
        from_dict(given)
    assert message in str(error.value)


def test_too_much_for_a_board():
    given = tree("pair2")
    given["set"]["system.endpoints"] = 4
    given["boards"]["nodes"]["instances"] = [f"endpoint_{i}" for i in range(4)]
    with pytest.raises(PartitionError, match=r"boards\.nodes\.instances = .* need about \d+ lut"):
        plan_records(from_dict(given))


@pytest.mark.parametrize("name", ["star5", "pair2"])
def test_every_pin_is_wired_once(name):
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in wiring_tables(load_partition(name)).splitlines()
        if line.startswith(("| clock", "| data"))
    ]
    partition = load_partition(name)
    assert len(rows) == len(partition.cuts) * 2 * (1 + partition.framing.lanes)
    switch_pins = [row[1] for row in rows]
    assert len(set(switch_pins)) == len(switch_pins)


@pytest.mark.parametrize("name", board_names())
def test_boards_use_no_pin_twice(name):
    board = load_board(name)
    used = [
        pin
        for link in board.links
        for pin in (link.transmit_clock, *link.transmit, link.receive_clock, *link.receive)
    ]
    used += list(board.serial or ())
    assert len(set(used)) == len(used)


def over_transceivers():
    given = tree()
    given["link"] = "serdes"
    return given


def test_links_over_transceivers():
    """A word of two bytes a cycle, encoded into twenty bits; a pair of wires each way."""
    partition = from_dict(over_transceivers())
    plan = plan_records(partition)
    assert {cut["raw_bits_per_second"] for cut in plan["cuts"]} == {16 * partition.clock_hz}
    rows = [row for row in wiring_tables(partition).splitlines() if row.startswith("| pair")]
    assert len(rows) == 2 * len(partition.cuts)
    assert len({row.split("|")[2] for row in rows}) == len(partition.cuts)


def test_transceivers_are_counted():
    given = over_transceivers()
    given["boards"]["node0"]["board"] = "ulx3s"
    with pytest.raises(PartitionError, match=r"node0\.board = ulx3s: has serdes for 0 links"):
        from_dict(given)


def test_only_links_over_pins_are_simulated():
    result = CliRunner().invoke(main, ["fpga", "run", "xcvu13p5", "--simulate"])
    assert result.exit_code == 2
    assert "link = aurora: boards are simulated with links over pins only" in result.output


def test_command_line():
    shown = CliRunner().invoke(main, ["fpga", "plan", "star5"])
    assert shown.exit_code == 0, shown.output
    assert "butterstick_switch" in shown.output
    wrong = CliRunner().invoke(main, ["fpga", "plan", "star6"])
    assert wrong.exit_code == 2
    assert "partition 'star6': no such preset" in wrong.output
