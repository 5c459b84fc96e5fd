"""What does not fit: a report with demand, bound, gap and the levers that would close it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shortage:
    """A resource of which a mapping needs more than the chip has.

    Attributes:
        resource: what runs out, for instance "clusters".
        demand: how much the mapping asks for, in ``unit``.
        bound: how much there is, in ``unit``.
        terms: the largest contributions to the demand, as (what, how much), largest first.
        levers: changes that would make it fit, in words.
    """

    resource: str
    unit: str
    demand: int
    bound: int
    terms: tuple[tuple[str, int], ...]
    levers: tuple[str, ...]

    @property
    def gap(self) -> int:
        """How much is missing, in ``unit``."""
        return self.demand - self.bound

    def __str__(self) -> str:
        lines = [
            f"{self.resource}: {self.demand:,} {self.unit} asked, {self.bound:,} there, {self.gap:,} missing",
            "  asked by: " + ", ".join(f"{what} {amount:,}" for what, amount in self.terms[:8]),
            "  what would help:",
            *(f"    - {lever}" for lever in self.levers),
        ]
        return "\n".join(lines)
