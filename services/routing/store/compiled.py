"""The versions of the ruleset that are ready to match."""

from collections import OrderedDict
from collections.abc import Collection

from services.routing import rules
from services.routing.model import Compiled
from services.routing.spec import RulesetSpec
from services.routing.store.rulesets import ruleset
from shared.db import Tx
from shared.pace import let_go, paced

COMPILED_KEPT, RULES_KEPT = 16, 6_000  # versions of the ruleset, and rules of all of them


class Versions:
    """Compiled once, in steps; the newest used are kept, and those ``in_force``: batches would wait for them."""

    def __init__(self) -> None:
        self._compiled: OrderedDict[int, Compiled] = OrderedDict()
        self.in_force: tuple[int, ...] = ()

    async def ready(self, tx: Tx, version: int) -> Compiled:
        """A stored version by its number. Raises ``LookupError`` where there is none, and what ``compiled`` does."""
        if version in self._compiled:
            return self._used(version)
        chosen = await ruleset(tx, version)
        if chosen is None:
            raise LookupError(f"there is no ruleset {version}")
        return await self.compiled(version, chosen.spec)

    async def compiled(self, version: int, spec: RulesetSpec) -> Compiled:
        """A stored version ready to match. Raises ``rules.RulesetError``."""
        if version in self._compiled:
            return self._used(version)
        self._compiled[version] = await paced(rules.compiling(version, spec, accepted=True))
        found = self._used(version)
        while (oldest := self._dispensable(version)) is not None:
            await let_go(list(self._compiled.pop(oldest).rules))
        return found

    def _dispensable(self, new: int) -> int | None:
        """The version that was not used for the longest, where there are too many."""
        rules_kept = sum(len(each.rules) for each in self._compiled.values())
        if len(self._compiled) <= COMPILED_KEPT and rules_kept <= RULES_KEPT:
            return None
        return next((each for each in self._compiled if each not in (*self.in_force, new)), None)

    @property
    def kept(self) -> Collection[int]:
        """The versions that need not be compiled."""
        return self._compiled.keys()

    def _used(self, version: int) -> Compiled:
        self._compiled.move_to_end(version)
        return self._compiled[version]
