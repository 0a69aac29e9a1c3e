"""The ways to one member, and the rule that it is lost only when all of them are. Knows no probes and no addresses but
what it is told.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Path", "Paths"]


class Path(StrEnum):
    """A kind of way to a node, best first."""

    VPN = "vpn"


class _State:
    """One path: where it leads, whether its last probe was answered, and how long an answer takes."""

    __slots__ = ("address", "answers", "rtt_s")

    def __init__(self, address: str) -> None:
        self.address = address
        self.answers = True
        self.rtt_s = 0.0


class Paths:
    """All known paths to one member. A path counts as good until a whole probe round over it failed."""

    __slots__ = ("_states",)

    def __init__(self) -> None:
        self._states: dict[Path, _State] = {}

    def lead(self, path: Path, address: str) -> None:
        """``path`` leads to ``address`` (``IP:PORT``) now; another address than before makes it a new path."""
        state = self._states.get(path)
        if state is None or state.address != address:
            self._states[path] = _State(address)

    def address(self, path: Path) -> str:
        """Where ``path`` leads; empty when there is no such path."""
        state = self._states.get(path)
        return state.address if state else ""

    def answered(self, path: Path, rtt_s: float | None = None, weight: float = 1.0) -> None:
        """A probe over ``path`` was answered, directly after ``rtt_s`` (None: by way of others)."""
        state = self._states[path]
        state.answers = True
        if rtt_s is not None:
            state.rtt_s = rtt_s if state.rtt_s == 0.0 else state.rtt_s + weight * (rtt_s - state.rtt_s)

    def failed(self, path: Path) -> None:
        """A whole probe round over ``path``, helpers included, had no answer."""
        self._states[path].answers = False

    @property
    def lost(self) -> bool:
        """No path answers: only now may the member be suspected."""
        return not any(state.answers for state in self._states.values())

    def rtt_s(self, path: Path) -> float:
        """Moving average of the round trip over ``path``; 0.0 when it was never measured."""
        state = self._states.get(path)
        return state.rtt_s if state else 0.0
