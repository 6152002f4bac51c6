#!/usr/bin/python3
"""Checks the table of TCP's rules (dataplane/tcp/RULES.md): every row is whole, names functions that exist and tests that
exist; every requirement of RFC 9293's appendix B has a row; every named case has a test that is a script.

    tests/check_tcp_rules.py [ROOT]

tests/test_check_tcp_rules.py tests this check.
"""

import pathlib
import re
import sys

TABLE = "dataplane/tcp/RULES.md"
HOME = "dataplane/tcp"
TESTS = "tests/unit"
SCRIPTS = "tests/unit/tcp"

RULES_HEADER = ["RFC section", "rule", "level", "function (file)", "tests"]
CASES_HEADER = ["number", "case"]
CASES = 62

SECTION = re.compile(r"^\d{3,4}( (section )?([A-Z]|\d+)(\.\d+)*)?$")
LEVEL = re.compile(r"^((MUST|SHLD|MAY|REC)-\d+|(MUST|SHOULD|MAY)( NOT)?|RECOMMENDED|advice)$")
FUNCTION = re.compile(r"^((?:\w+::)*~?\w+) \(([\w/]+\.(?:h|cc))\)$")
NOT_DONE = re.compile(r"^not done: \S.+")
TEST = re.compile(r"\bTEST(_P|_F)?\(\s*\w+,\s*(\w+)\)")

# RFC 9293, appendix B: MUST-1 to MUST-69 and so on, without gaps.
APPENDIX_B = {f"{kind}-{number}" for kind, last in (("MUST", 69), ("SHLD", 31), ("MAY", 18), ("REC", 1))
              for number in range(1, last + 1)}


def cells(line):
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def rows(text):
    """(line number, header, cells) of every row of every table."""
    header = None
    for number, line in enumerate(text.splitlines(), 1):
        if not line.startswith("|"):
            header = None
        elif header is None:
            header = cells(line)
        elif not re.fullmatch(r"\|[-| ]+\|", line.strip()):
            yield number, header, cells(line)


def tests_of(root, folder):
    """The names of all tests below a folder -> the kinds of macro that make them."""
    found = {}
    for path in sorted((root / folder).rglob("*_test.cc")):
        for kind, name in TEST.findall(path.read_text(errors="replace")):
            found.setdefault(name, set()).add(kind)
    return found


class Sources:
    def __init__(self, root):
        self.root = root
        self.texts = {}

    def text(self, name):
        """The text of a file of the room, or, with a folder, of the data plane; None when there is none."""
        path = self.root / (f"dataplane/{name}" if "/" in name else f"{HOME}/{name}")
        if path not in self.texts:
            # Comments name functions that may be gone.
            self.texts[path] = re.sub(r"//[^\n]*", "", path.read_text()) if path.is_file() else None
        return self.texts[path]

    def has(self, function, file):
        text = self.text(file)
        if text is None:
            return False
        scope, _, name = function.rpartition("::")
        if file.endswith(".cc"):
            return re.search(rf"(?<![\w:]){re.escape(function)}\b", text) is not None
        owner = scope.rpartition("::")[2]
        return (not owner or re.search(rf"\b(?:class|struct|enum class) {owner}\b", text) is not None) and \
            re.search(rf"\b{re.escape(name)}\b", text) is not None


def check_rule(row, sources, tests):
    section, rule, level, functions, names = row
    if not SECTION.match(section):
        yield f'"{section}" is no section: write "9293 3.10.7.4"'
    if not rule:
        yield "no rule"
    if not LEVEL.match(level):
        yield f'"{level}" is no level: MUST, SHOULD, MAY, RECOMMENDED, advice, or an id of appendix B'
    if functions.startswith("not done"):
        if not NOT_DONE.match(functions):
            yield 'say why: "not done: ..."'
        if names:
            yield "what is not done has no test"
        return
    for function in functions.split(", "):
        found = FUNCTION.match(function)
        if not found:
            yield f'"{function}" is no function: write "Connection::on_reset (input.cc)", or "not done: why"'
        elif not sources.has(*found.groups()):
            yield f"{function} does not exist"
    if not names:
        yield "no test"
    for name in filter(None, names.split(", ")):
        if name not in tests:
            yield f'there is no test "{name}"'


def check_cases(listed, scripts):
    """`listed`: (line number, cells) of the table of named cases."""
    expected = 1
    for number, row in listed:
        if len(row) != 2 or row[0] != str(expected):
            yield f"{TABLE}:{number}: case {expected} expected"
        elif "_P" not in scripts.get(row[1], set()):
            yield f'{TABLE}:{number}: named case {row[0]} has no script "{row[1]}" in {SCRIPTS}'
        expected += 1
    if expected != CASES + 1:
        yield f"{TABLE}: {expected - 1} named cases instead of {CASES}"


def problems(root):
    root = pathlib.Path(root)
    table = root / TABLE
    if not table.is_file():
        return [f"{TABLE} does not exist"]
    sources, tests = Sources(root), tests_of(root, TESTS)
    found, listed, levels = [], [], set()
    for number, header, row in rows(table.read_text()):
        if header == CASES_HEADER:
            listed.append((number, row))
        elif header != RULES_HEADER:
            found.append(f"{TABLE}:{number}: a table with other columns")
        elif len(row) != len(RULES_HEADER):
            found.append(f"{TABLE}:{number}: {len(row)} columns instead of {len(RULES_HEADER)}")
        else:
            levels.add(row[2])
            found += [f"{TABLE}:{number}: {problem}" for problem in check_rule(row, sources, tests)]
    missing = sorted(APPENDIX_B - levels, key=lambda name: (name.split("-")[0], int(name.split("-")[1])))
    if missing:
        found.append(f"{TABLE}: no row for {', '.join(missing)} of RFC 9293's appendix B")
    found += check_cases(listed, tests_of(root, SCRIPTS))
    return found


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent
    found = problems(root)
    for problem in found:
        print(problem, file=sys.stderr)
    if not found:
        print("TCP's rules: every row names functions and tests that exist")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
