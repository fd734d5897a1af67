"""scin/soak: faults of every kind, alone and in pairs, end in repair or in a status."""

import itertools

import pytest
from click.testing import CliRunner

from cocotb_tests.support.records import checked, checked_records
from hw.spec.config import load
from hw.spec.fault import Disturbance
from scin.host.driver import Driver
from scin.host.simulator import Simulator
from scin.main import main
from scin.soak.load import SoakLoad
from scin.soak.run import UNREPAIRABLE, soak, with_faults

RATES = {
    Disturbance.BER: 2e-6,
    Disturbance.BURST: 1e-4,
    Disturbance.DROP: 1e-4,
    Disturbance.DUPLICATE: 1e-4,
    Disturbance.CREDITS: 2e-5,
    Disturbance.DOWN: 2e-5,
    Disturbance.STALL: 1e-4,
    Disturbance.WRONG: 1.0,
    Disturbance.CUT: 1.0,
}
CYCLES = 15_000
"""At least a round, so that each strikes."""

KEPT = {1e-6: 0.99, 1e-5: 0.97}
"""Share of the throughput that is kept at a bit error rate on every link."""

CONFIG = with_faults(
    load("tiny", {"isa.barrier_timeout_cycles": 8192}), dict.fromkeys(Disturbance, 0.0)
)
"""One simulator for all of them."""


def run(*kinds, cycles=CYCLES, seed=1):
    faults = {kind: RATES[kind] for kind in kinds}
    return soak(CONFIG, faults, cycles=cycles, seed=seed)


@pytest.mark.parametrize("kind", Disturbance, ids=lambda kind: kind.name.lower())
def test_alone(kind):
    result = run(kind, cycles=3 * CYCLES)
    assert result.wrong == 0
    if kind in UNREPAIRABLE:
        assert set(result.statuses) - {"OK"}, "it did nothing"
    else:
        assert result.happened[kind.name.lower()] > 0, "it never struck"
        assert (result.lost, result.duplicated) == (0, 0)
        assert set(result.statuses) == {"OK"}
        assert result.good


@pytest.mark.parametrize(
    "kinds",
    list(itertools.combinations(Disturbance, 2)),
    ids=lambda kinds: "+".join(kind.name.lower() for kind in kinds),
)
def test_pairs(kinds):
    """Nothing is ever wrong; what is not repaired says so."""
    result = run(*kinds)
    assert result.wrong == 0
    if not UNREPAIRABLE & set(kinds):
        assert (result.lost, result.duplicated) == (0, 0)
        assert set(result.statuses) == {"OK"}


@pytest.mark.slow
def test_without_the_link_layer_it_would_be_wrong():
    """The same faults on bare links: packets are lost, and commands time out."""
    config = load("tiny", {"link.fault_injection": True, "isa.barrier_timeout_cycles": 8192})
    with Simulator(config, seed=1, faults={Disturbance.DROP: 1e-3}) as simulator:
        bare = SoakLoad(config, simulator, Driver(simulator, config), 1)
        bare.round()
        assert bare.tally.lost or set(bare.tally.statuses) - {"OK"}


def test_command(tmp_path):
    path = tmp_path / "soak.json"
    command = ["soak", "--config", "tiny", "--cycles", "1000000", "--fault", "ber=1e-6"]
    command += ["--quiet", "--json", str(path)]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    (record,) = checked_records(path.read_text())
    assert (record["wrong"], record["lost"], record["duplicated"]) == (0, 0, 0)
    assert record["corrected"] > 0
    assert record["throughput_kept"] >= KEPT[1e-6]


def test_flipped_bits_cost_little():
    """A hundred thousand cycles at ten times that rate."""
    faults = {Disturbance.BER: 1e-5}
    result = soak(CONFIG, faults, cycles=100_000, seed=2)
    assert result.good
    assert result.corrected > 0
    assert result.throughput_kept >= KEPT[1e-5]


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "cycles"), [(1e-6, 10_000_000), (1e-5, 1_000_000)])
def test_long_soak(rate, cycles):
    """The published prototype's configuration."""
    faults = {Disturbance.BER: rate}
    config = with_faults(load("fpga4"), faults)
    result = soak(config, faults, cycles=cycles, seed=1)
    assert result.good
    assert result.throughput_kept >= KEPT[rate]


def test_run_under_faults(tmp_path):
    path = tmp_path / "run.json"
    command = ["run", "allreduce", "--config", "tiny", "--size", "64KiB", "--fault", "ber=1e-5"]
    result = CliRunner().invoke(main, [*command, "--json", str(path)])
    assert result.exit_code == 0, result.output
    document = checked(path.read_text())
    assert document["config"]["link"]["reliable"]
    (record,) = document["records"]
    assert (record["wrong"], record["status"]) == (0, "OK")
