"""Which devices of the ledger become hosts, and under which hostname."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from string import Formatter

from dzbgp.console.filters import Filter, contributor_filter, word_filter
from dzbgp.errors import InventoryError
from dzbgp.fleet.from_ledger.facts import FACTS, Facts
from dzbgp.models.ledger import Contributor, DeviceStatus

PUBLIC_IP = "{public_ip}"

# What a device is called is for its contributor to say, and credentials go where the hostname says.
_HOSTNAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?\Z")


@dataclass(frozen=True, slots=True)
class Selection:
    """What is asked for. An empty filter lets everything pass."""

    contributor: tuple[str, ...] = ()
    metro: tuple[str, ...] = ()
    """Codes or names of exchanges."""
    location: tuple[str, ...] = ()
    """Codes or names."""
    status: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    """Patterns such as `ams-*`."""
    hostname: str = PUBLIC_IP
    """A template over the names in FACTS."""
    prefix: str = "--"
    """What messages put before the name of an option."""

    def check(self) -> None:
        """Raise InventoryError for a template that nothing could be made of."""
        where = f"{self.prefix}hostname: {self.hostname!r}"
        try:
            parts = list(Formatter().parse(self.hostname))
        except ValueError:
            parts = [("", "", "", "")]
        for _, name, spec, conversion in parts:
            if name is not None and (name not in FACTS or spec or conversion):
                raise InventoryError(
                    f"{where} is not a template; expected for example {{code}}.mgmt.example.net, "
                    f"with any of {', '.join(FACTS)}"
                )
        if not any(name for _, name, _, _ in parts):
            raise InventoryError(f"{where} is the same for every device; expected for example {{code}}.mgmt")

    def choose(self, everything: Sequence[Facts]) -> list[Facts]:
        """Return those that pass. Raises UsageError for a name that nothing has, InventoryError for none left."""
        rows = list(everything)
        for one in self._filters(everything):
            rows = one.choose(rows)
        if self.code:
            patterns = [pattern.casefold() for pattern in self.code]
            rows = [row for row in rows if any(fnmatchcase(row.code.casefold(), one) for one in patterns)]
        if not rows:
            raise InventoryError(
                f"{self.prefix}code: none of the ledger's {len(everything)} devices matches the filters"
            )
        return rows

    def _filters(self, rows: Sequence[Facts]) -> list[Filter[Facts]]:
        def coded(name: str, wanted: Sequence[str], full: str = "") -> Filter[Facts]:
            def names(row: Facts) -> list[str]:
                return [text for text in (row.data[name], getattr(row, full) if full else "") if text]

            codes = sorted({row.data[name] for row in rows})
            known = [text for row in rows for text in names(row)]
            return Filter(self.prefix + name, wanted, names, known, f"one of {', '.join(codes) or 'none'}")

        def contributor(row: Facts) -> Contributor:
            return Contributor(row.device.contributor_pk, row.data["contributor"])

        return [
            contributor_filter(
                self.prefix + "contributor", self.contributor, contributor, map(contributor, rows)
            ),
            coded("metro", self.metro, "metro_name"),
            coded("location", self.location, "location_name"),
            word_filter(
                self.prefix + "status", self.status, lambda row: row.device.status, DeviceStatus, rows
            ),
        ]


def hostname_of(template: str, data: Mapping[str, str]) -> str | None:
    """Return the hostname that `template` makes of facts; None when it is none, or a fact is missing."""
    try:
        made = template.format_map(data)
    except (KeyError, ValueError, IndexError, AttributeError):
        return None
    return made if _HOSTNAME.match(made) else None
