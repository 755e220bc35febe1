"""Tables of training runs: writes them into the pages that ask for them.

    .venv/bin/python benchmarks/tables.py           # writes
    .venv/bin/python benchmarks/tables.py --check   # names stale pages and exits with 1

`docs/benchmarks/runs.csv` has one row a measurement of a run: its flags, seed, scores, machine and
commit, as far as they were written down. CIDEr stands in the columns named after a search:
`greedy`, `beam 3` and `beam 5` are without length penalty, `beam 5, penalty 1` is with one. A page
asks for the rows of one table, between two comments:

    <!-- table attend -->                       all columns that have a value
    <!-- table attend: id; greedy; note -->     these columns
    <!-- end of table -->

Flags that nearly all runs have are left out of the pages and said in their text.
"""

import csv
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUNS = ROOT / "docs" / "benchmarks" / "runs.csv"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMON = ("--precision=bfloat16", "--warmup_steps=200")
HIDDEN = ("table", "split")  # the page says them
BLOCK = re.compile(
    r"(<!-- table (?P<name>\w+)(?:: (?P<columns>.+?))? -->\n).*?(<!-- end of table -->)", re.DOTALL
)

Row = dict[str, str]


def read_runs() -> list[Row]:
    """The rows of runs.csv; flags without those of COMMON, in the type of code."""
    with RUNS.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        flags = " ".join(flag for flag in row["flags"].split() if flag not in COMMON)
        row["flags"] = f"`{flags}`" if flags else ""
    return rows


def markdown(rows: list[Row], columns: list[str]) -> str:
    """The rows as a Markdown table; without `columns`, of all columns that have a value."""
    columns = columns or [
        name for name in rows[0] if name not in HIDDEN and any(row[name] for row in rows)
    ]
    cells = [[row[name].replace("|", "\\|") for name in columns] for row in rows]
    lines = [columns, ["---"] * len(columns), *cells]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def with_tables(page: str, runs: list[Row]) -> str:
    """The text of a page with its tables as runs.csv has them now.

    Raises:
      KeyError: the page asks for a table or a column that runs.csv does not have.
    """

    def table(match: re.Match) -> str:
        rows = [row for row in runs if row["table"] == match["name"]]
        if not rows:
            raise KeyError(f"runs.csv has no table {match['name']}")
        columns = match["columns"].split("; ") if match["columns"] else []
        return match[1] + markdown(rows, columns) + match[4]

    return BLOCK.sub(table, page)


def main(check: bool) -> int:
    """Writes or checks all pages; the number of stale ones."""
    runs, stale = read_runs(), 0
    for path in PAGES:
        page = path.read_text("utf-8")
        if (wanted := with_tables(page, runs)) != page:
            stale += 1
            print(f"{path.relative_to(ROOT)} {'is stale' if check else 'written'}")
            if not check:
                path.write_text(wanted, "utf-8")
    return stale if check else 0


if __name__ == "__main__":
    sys.exit(min(main("--check" in sys.argv), 1))
