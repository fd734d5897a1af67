"""Mutants are small, whole, the same every time, and of what becomes gates."""

import ast

import pytest

from cocotb_tests.mutation.mutants import Mutant, choose, mutants
from cocotb_tests.mutation.mutate import REPOSITORY, chosen, judge, sound, targets

SAMPLE = """
class Part:
    def elaborate(self, platform):
        m = Module()
        limit = 3 + 4
        m.d.comb += self.o.eq(self.a & ~self.b)
        with m.If(self.count == limit):
            m.d.sync += self.count.eq(self.count + 1)
        return m
"""
EXPECTED = {
    "self.a & ~self.b -> self.a | ~self.b",
    "~self.b -> self.b",
    "self.count == limit -> self.count != limit",
    "self.count == limit -> 1",
    "self.count + 1 -> self.count - 1",
    "self.count + 1 -> self.count",
}


def test_of_a_sample():
    """Everything in gates, nothing of Python's own arithmetic."""
    found = mutants("part.py", SAMPLE)
    assert {f"{item.before} -> {item.after}" for item in found} == EXPECTED
    for item in found:
        ast.parse(item.source)
        changed = [
            number
            for number, (old, new) in enumerate(
                zip(SAMPLE.splitlines(), item.source.splitlines(), strict=True), 1
            )
            if old != new
        ]
        assert changed == [item.line]


def test_enough_of_them():
    every = [mutant for target in targets() for mutant in chosen(target, seed=1)]
    assert len(every) >= 60
    assert every == [mutant for target in targets() for mutant in chosen(target, seed=1)]
    for target in targets():
        for test in target.tests:
            assert (REPOSITORY / test.split("::")[0]).is_file(), test


def test_one_is_noticed(tmp_path):
    """The arbiter of packets, as it is and with its condition for the end of a packet turned."""
    (target,) = (target for target in targets() if target.file == "hw/fabric/merge.py")
    assert not judge(sound(target), target.tests, tmp_path).noticed
    source = (REPOSITORY / target.file).read_text()
    assert "Mux(done, 0, grant)" in source
    broken = source.replace("Mux(done, 0, grant)", "Mux(done, grant, 0)")
    mutant = Mutant(target.file, 0, "done", "~done", broken)
    assert judge(mutant, target.tests, tmp_path).noticed


@pytest.mark.parametrize("target", targets(), ids=lambda target: target.file)
def test_equivalents_are_explained(target):
    for reason in target.equivalent.values():
        assert len(reason) > 20


def test_the_choice_is_stable():
    """Without one of those chosen, the others stay and one more comes."""
    found = mutants("part.py", SAMPLE)
    before = choose(found, 3, seed=1)
    after = choose([item for item in found if item != before[0]], 3, seed=1)
    assert set(before[1:]) < set(after)
    assert any(set(choose(found, 3, seed=seed)) != set(before) for seed in range(2, 9))
