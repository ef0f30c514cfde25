"""Who is the same customer, across channels. Pure: a function of all that is known, in whatever order it came.

A contact names its customer by an id, else by an address, else by a telephone number. An upstream vouches for an
address or number by giving it together with an id: it is verified, and what names nothing but that address is that
customer's. One that several ids claim (a family's, a company's) is nobody's by itself. Ids are never joined but by a
person's merge, and names of people count for nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple


class Sighting(NamedTuple):
    """How one contact, or many, named their customer. Canonical."""

    id: str | None
    email: str | None = None
    phone: str | None = None

    @property
    def name(self) -> str | None:
        """What it is attributed by."""
        return self.id or self.email or self.phone


@dataclass(frozen=True, slots=True)
class Directory:
    ids: frozenset[str]  # that upstreams gave
    claims: Mapping[str, frozenset[str]]  # an address or number, and the ids that it was given with
    merges: Mapping[str, str]  # a name, and the one that a person merged it into

    @staticmethod
    def of_sightings(sightings: Iterable[Sighting], merges: Mapping[str, str]) -> "Directory":
        claims: dict[str, set[str]] = {}
        ids: set[str] = set()
        for each in sightings:
            if each.id:
                ids.add(each.id)
                for address in (each.email, each.phone):
                    if address:
                        claims.setdefault(address, set()).add(each.id)
        return Directory(frozenset(ids), {name: frozenset(of) for name, of in claims.items()}, merges)

    def customer(self, name: str) -> str:
        """The customer that a name stands for: the name of the one that all of theirs were merged into."""
        claimants = self.claimants(name)
        return self._root(claimants[0] if len(claimants) == 1 and not self._is_own(name) else name)

    def claimants(self, name: str) -> tuple[str, ...]:
        """The customers whose address or number it is; more than one where they share it."""
        return tuple(sorted({self._root(each) for each in self.claims.get(name, ())}))

    def shared(self, name: str) -> tuple[str, ...]:
        """The customers who share it, so that it is nobody's; none where a person or one upstream said whose it is."""
        claimants = self.claimants(name)
        return claimants if len(claimants) > 1 and not self._is_own(name) else ()

    def names(self, customer: str, among: Iterable[str]) -> frozenset[str]:
        """Those of the names that are the customer's."""
        return frozenset(name for name in among if self.customer(name) == customer)

    def _is_own(self, name: str) -> bool:
        return name in self.ids or name in self.merges

    def _root(self, name: str) -> str:
        while name in self.merges:
            name = self.merges[name]
        return name
