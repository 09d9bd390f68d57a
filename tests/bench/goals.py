"""What a benchmark measured, beside what it should."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """A number that was measured. `met` None: there is no goal."""

    name: str
    value: str
    goal: str = ""
    met: bool | None = None


@dataclass
class Table:
    """A benchmark's rows, and under what circumstances they were measured."""

    title: str
    circumstances: str
    rows: list[Row] = field(default_factory=list)

    @property
    def missed(self) -> bool:
        return any(row.met is False for row in self.rows)

    def __str__(self) -> str:
        lines = [("", "measured", "goal", ""), *((r.name, r.value, r.goal, _verdict(r)) for r in self.rows)]
        widths = [max(len(line[column]) for line in lines) for column in range(4)]
        text = [
            "  ".join(
                cell.ljust(width) if column in (0, 3) else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        ]
        return "\n".join([self.title, self.circumstances, "", *text])


def _verdict(row: Row) -> str:
    return {None: "", True: "met", False: "MISSED"}[row.met]
