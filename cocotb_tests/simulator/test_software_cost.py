"""What is counted as software beside the hardware's times, and for which algorithms."""

import pytest
from click.testing import CliRunner

from cocotb_tests.support.records import checked_records
from hw.spec.config import load
from hw.spec.instruction import Instruction
from models.baselines.parameters import SCIN_SOFTWARE_US
from scin.collectives.software_cost import measure
from scin.main import main


def test_the_accelerators_own_cost():
    config = load("fpga4")
    cost = measure(config)
    words = -(-Instruction.layout(config).size // 32)
    # A register write takes two cycles, and an instruction is as many as it has words.
    assert cost.instruction >= 2 * words
    assert cost.microseconds(config) == pytest.approx(SCIN_SOFTWARE_US, abs=1e-6)


def times(*parameters):
    arguments = ["compare", "--min", "4K", "--max", "4K", "--algo", "scin,ring,dma-ring"]
    for parameter in parameters:
        arguments += ["--parameter", parameter]
    result = CliRunner().invoke(main, [*arguments, "--json", "-"])
    assert result.exit_code == 0, result.output
    return {item["algo"]: item["time_s"] * 1e6 for item in checked_records(result.stdout)}


@pytest.mark.parametrize(
    ("parameters", "added"),
    [
        (("software_us=6",), {"scin": SCIN_SOFTWARE_US, "ring": 6, "dma-ring": 0}),
        (("software_us=6", "scin_software_us=2"), {"scin": 2, "ring": 6, "dma-ring": 0}),
        (("scin_software_us=2",), {"scin": 2, "ring": 0, "dma-ring": 0}),
        (("every_us=3",), {"scin": 3, "ring": 3, "dma-ring": 3}),
        (("every_us=3", "software_us=6"), {"scin": 3 + SCIN_SOFTWARE_US, "ring": 9, "dma-ring": 3}),
    ],
)
def test_who_pays(parameters, added):
    hardware, counted = times(), times(*parameters)
    for name, cost in added.items():
        assert counted[name] - hardware[name] == pytest.approx(cost, abs=1e-6), name


def test_plain_scin_beside_quantized():
    result = CliRunner().invoke(
        main, ["compare", "--algo", "ring,scin-inq", "--max", "1K", "--json", "-"]
    )
    assert [item["algo"] for item in checked_records(result.stdout)] == ["ring", "scin", "scin-inq"]


def llm(*arguments):
    return CliRunner().invoke(main, ["llm", "--precision", "fp16", *arguments, "--json", "-"])


@pytest.mark.parametrize(
    ("model", "accelerators", "message"),
    [
        ("llama2-70b", 72, "heads = 64 cannot be divided by 72"),
        ("llama2-13b", 16, "heads = 40 cannot be divided by 16"),
        ("llama2-7b", 3, "heads = 32 cannot be divided by 3"),
    ],
)
def test_heads_must_divide(model, accelerators, message):
    result = llm("--model", model, "--set", f"system.endpoints={accelerators}")
    assert result.exit_code == 2
    assert message in result.output


def test_kv_heads_are_replicated():
    """Eight KV heads on sixteen accelerators: each holds one, so the cache that an accelerator
    reads does not shrink from eight on."""
    times = {}
    for count in (8, 16):
        result = llm("--model", "llama2-70b", "--set", f"system.endpoints={count}")
        decode = [item for item in checked_records(result.stdout) if not item["prefill"]]
        times[count] = decode[0]["compute_s"]
    assert times[8] / 2 < times[16] < times[8]
