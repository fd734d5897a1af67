"""Which part of a system a board holds."""

from __future__ import annotations

from dataclasses import dataclass

from hw.spec.config import Config


@dataclass(frozen=True)
class Contents:
    """``endpoints`` of the system and, if ``switch``, the switch, whose first ports are theirs.

    Every other port of the switch, or without the switch every endpoint, has a link to
    another board.
    """

    config: Config
    switch: bool
    endpoints: int

    @property
    def role(self) -> dict[str, int]:
        """Fields of the register ROLE that tell a board from the others."""
        return {"switch": int(self.switch), "endpoints": self.endpoints, "links": self.links}

    @property
    def links(self) -> int:
        """Links to other boards."""
        if self.switch:
            return self.config.system.endpoints - self.endpoints
        return self.endpoints
