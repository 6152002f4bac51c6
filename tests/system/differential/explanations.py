"""explained.md: which differences are known, and why each is right. A row is a rule: a difference is explained when the
proxy's name and the patterns (of a shell: `*`, `?`, `[...]`, `,` between alternatives where it stands between blanks) of
case, what, Steelyard and other all fit. How many it explains is a part of the row, so that none hides what is new."""

import dataclasses
import fnmatch
import pathlib
import re

PATH = pathlib.Path(__file__).resolve().parent / "explained.md"


@dataclasses.dataclass
class Row:
    """One line of the table; `found` is what it has explained."""

    line: int
    proxies: str
    case: str
    what: str
    ours: str
    theirs: str
    count: str
    why: str
    found: list = dataclasses.field(default_factory=list)

    def __post_init__(self):
        told = (self.proxies, self.case, self.what, self.ours, self.theirs)
        self._patterns = [_compiled(pattern) for pattern in told]

    def explains(self, proxy, case, difference):
        told = (proxy, case, *difference)
        return all(pattern.fullmatch(text) for pattern, text in zip(self._patterns, told))


def _compiled(pattern):
    return re.compile("|".join(fnmatch.translate(alternative) for alternative in pattern.split(" , ")))


def read(path=PATH):
    rows = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.startswith("|") or line.startswith(("|--", "| proxy ")):
            continue
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) != 7:
            raise AssertionError(f"{path.name}:{number}: {len(cells)} cells instead of 7")
        rows.append(Row(number, *cells))
    return rows
