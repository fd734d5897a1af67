"""``make prove``: every claim at its full depth, its cover and its seeded bug, as a table."""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from cocotb_tests.formal.claims import CLAIMS
from cocotb_tests.support.formal import Claim


@dataclass(frozen=True)
class Verdict:
    claim: Claim
    holds: bool
    covered: bool
    caught: bool
    seconds: float

    @property
    def good(self) -> bool:
        return self.holds and self.covered and self.caught


def decide(claim: Claim) -> Verdict:
    start = time.monotonic()
    holds, covered, caught = claim.holds(full=True), claim.reaches(), claim.finds_the_bug()
    return Verdict(claim, holds, covered, caught, time.monotonic() - start)


def main() -> int:
    console = Console(width=120, markup=False)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        verdicts = []
        for verdict in pool.map(decide, CLAIMS):
            console.print(f"{'proved' if verdict.good else 'FAILED'}: {verdict.claim.part}")
            verdicts.append(verdict)
    table = Table("part of hw/", "claim", "how deep", "holds", "cover", "bug found", "s")
    for verdict in verdicts:
        claim = verdict.claim
        depth = claim.how_deep(full=True)
        table.add_row(
            claim.part,
            claim.says,
            f"for ever, by {depth}-induction" if claim.induction else f"{depth} cycles",
            *("yes" if value else "NO" for value in (verdict.holds, verdict.covered)),
            "yes" if verdict.caught else "NO",
            f"{verdict.seconds:.0f}",
        )
    console.print(table)
    good = sum(verdict.good for verdict in verdicts)
    console.print(f"{good} of {len(verdicts)} claims proved")
    return 0 if good == len(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
