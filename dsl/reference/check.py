"""Compute every reference again and fail on any difference from what is checked in.

Checks   golden files, inputs, tolerances and CATALOGUE.md are what generate.py writes; every operator is ready at the tick that the
         cases say; inputs are sound; second sources agree (refs/second.py); the whole stays below 6 MB; no file is left over.
Options  --last-digits accepts differences below a thousandth of the tolerance (another CPU or libm); names of operators limit
         the work to them; --second runs the second sources alone.
"""
import csv
import pathlib
import sys
import tempfile
import warnings

import generate
from refs import data, files, second
from refs.registry import OPERATORS

HERE = pathlib.Path(__file__).resolve().parent
GOLDEN = HERE / "golden"
LIMIT_BYTES = 6_000_000


def read(path):
    """Column name -> values; None where absent."""
    rows = list(csv.reader(line for line in path.read_text().splitlines() if not line.startswith("#")))
    return {name: [float(r[k]) if r[k] else None for r in rows[1:]] for k, name in enumerate(rows[0])}


def tolerance_table():
    with (GOLDEN / "tolerance.csv").open() as f:
        return {(r["operator"], r["column"]): (float(r["rtol"]), float(r["atol"])) for r in csv.DictReader(f)}


def worst(want, got, rtol, atol):
    """Largest difference in tolerances, over the rows where both have a value; infinite where only `want` has one."""
    out = 0.0
    for w, g in zip(want, got, strict=True):
        if w is not None:
            out = max(out, float("inf") if g is None else abs(w - g) / (atol + rtol * abs(w)))
    return out


def same_files(fresh, names, last_digits):
    problems, table = [], tolerance_table()
    chosen = [o for o in OPERATORS if not names or o.name in names or f"{o.module}.{o.name}" in names]
    compared = [f"{o.module}.{o.name}.csv" for o in chosen] + [f"in/{k}_{s}.csv" for k in ("bars", "events") for s in data.SETS]
    if not names:
        compared.append("tolerance.csv")
        if (fresh / "CATALOGUE.md").read_text() != (HERE.parent / "lang" / "std" / "CATALOGUE.md").read_text():
            problems.append("CATALOGUE.md is not what the registry says: run generate.py")
        known = set(compared)
        problems += [f"{p.relative_to(GOLDEN)} belongs to no operator" for p in GOLDEN.rglob("*.csv") if str(p.relative_to(GOLDEN)) not in known]
    for name in compared:
        old = GOLDEN / name
        if not old.exists():
            problems.append(f"{name} is missing: run generate.py")
        elif old.read_bytes() != (fresh / name).read_bytes():
            if last_digits and (name == "tolerance.csv" or close(name, read(old), read(fresh / name), table)):
                continue
            problems.append(f"{name} differs from what its reference computes")
    return problems


def close(name, old, new, table):
    if name.startswith("in/") or old.keys() != new.keys():
        return False
    same_holes = all((a is None) == (b is None) for c in old for a, b in zip(old[c], new[c]))
    return same_holes and all(worst(old[c], new[c], *table[name.removesuffix(".csv"), c]) <= 1e-3 for c in old)


def ready_as_said(names):
    problems = []
    for o in OPERATORS:
        if names and o.name not in names:
            continue
        columns = read(GOLDEN / f"{o.module}.{o.name}.csv")
        for k, case in enumerate(o.cases):
            mine = [v for c, v in columns.items() if c.split(".")[:2] == ["walk", f"c{k + 1}"]]
            first = min((next((i + 1 for i, v in enumerate(vs) if v is not None), None) for vs in mine), key=lambda v: v or 10**9)
            if first is None:
                problems.append(f"{case.call} has no value at all on walk")
            elif case.ready is not None and first != case.ready:
                problems.append(f"{case.call} is ready at tick {first}, not {case.ready}")
    return problems


def inputs_are_sound():
    """Bars are ordered, books are sorted and not crossed, time does not run backwards."""
    problems = []
    for name in data.SETS:
        d = data.bars(name)
        for i in range(d.rows):
            o, h, l, c = (d.columns[f][i] for f in ("open", "high", "low", "close"))
            if o is not None and not l <= min(o, c) <= max(o, c) <= h:
                problems.append(f"bars {name} row {i}: not ordered")
        e = data.events(name)
        for i in range(e.rows):
            if i and e.ts_ns[i] < e.ts_ns[i - 1]:
                problems.append(f"events {name} row {i}: time runs backwards")
            if e.kind[i] == "book":
                bids = [e.columns[f"bid{k}_px"][i] for k in range(data.LEVELS)]
                asks = [e.columns[f"ask{k}_px"][i] for k in range(data.LEVELS)]
                if not all(a < b for a, b in zip([*reversed(bids), *asks], [*reversed(bids), *asks][1:])):
                    problems.append(f"events {name} row {i}: the book is not sorted")
    return problems


def second_sources(names):
    problems, table, done, count = [], tolerance_table(), {}, 0
    for name, case, result, function, sets in second.PAIRS:
        if names and name.split(".")[-1] not in names:
            continue
        columns = done.setdefault(name, read(GOLDEN / f"{name}.csv"))
        kind = next(o.kind for o in OPERATORS if f"{o.module}.{o.name}" == name)
        for s in sets:
            key = files.column_name((s, case, result))
            rtol, atol = table[name, key]
            off = worst(columns[key], function(data.make(kind, s)), rtol, atol)
            count += 1
            if off > 1:
                problems.append(f"{name} {key}: the second source is {off:.3g} tolerances away")
    print(f"{count} columns compared with a second source")
    return problems


def main(argv):
    warnings.simplefilter("ignore")
    names = {a.split(".")[-1] for a in argv if not a.startswith("--")}
    problems = second_sources(names)
    if "--second" not in argv:
        with tempfile.TemporaryDirectory() as d:
            generate.main(["--into", d, *names])
            problems += same_files(pathlib.Path(d), names, "--last-digits" in argv)
        problems += ready_as_said(names) + inputs_are_sound()
        size = sum(p.stat().st_size for p in GOLDEN.rglob("*.csv"))
        if size > LIMIT_BYTES:
            problems.append(f"the golden files take {size} bytes, more than {LIMIT_BYTES}")
    for p in problems:
        print(p)
    print("all references agree" if not problems else f"{len(problems)} problems")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
