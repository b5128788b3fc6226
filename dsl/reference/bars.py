"""Compute the TA-Lib operators on recorded bars, for comparison with `tercel eval` (bars.md says which and why not here).

Input    the development data folder: bars/daily, bars/hour and bars/multi as bars.md lists them.
Output   OUT/<series>/in.csv and OUT/<series>/<module>.<name>.csv, laid out as the golden files. OUT must not be in the repository.
Usage    bars.py DATA OUT [names of operators]
"""
import csv
import gzip
import io
import pathlib
import sys
import warnings
import zipfile

from refs import files
from refs.data import Table
import refs.all  # noqa: F401
from refs.registry import OPERATORS

PAIRS = (("XOM", "CVX"), ("KO", "PEP"), ("JPM", "BAC"))
FIELDS = ("open", "high", "low", "close", "volume")


def table(**columns):
    rows = len(columns["close"])
    return Table({c: columns.get(c, [None] * rows) for c in (*FIELDS, "bench", "noise", "mark")})


def lean(path, scale):
    with zipfile.ZipFile(path) as z:
        text = z.read(z.namelist()[0]).decode()
    rows = [r[1:6] for r in csv.reader(io.StringIO(text))]
    prices = {f: [float(r[k]) / scale for r in rows] for k, f in enumerate(FIELDS[:4])}
    return table(**prices, volume=[float(r[4]) for r in rows])


def gz(path):
    with gzip.open(path, "rt") as f:
        return list(csv.DictReader(f))


def series(data):
    """(name, table) of every recorded series."""
    for path in sorted((data / "bars" / "daily").glob("lean_*_daily*.zip")):
        if not path.stem.endswith("quote"):
            yield path.stem, lean(path, 1 if "coinbase" in path.stem else 10_000)
    yield "lean_spy_hour", lean(data / "bars" / "hour" / "lean_spy_hour.zip", 10_000)
    index = gz(data / "bars" / "multi" / "arch_sp500_ohlcv_1999_2018.csv.gz")
    yield "sp500", table(**{f: [float(r[f.capitalize()]) for r in index] for f in FIELDS})
    stocks = gz(data / "bars" / "multi" / "skfolio_sp500_20stocks_1990_2022_close.csv.gz")
    partner = dict(PAIRS)
    for name in list(stocks[0])[1:]:
        columns = {"close": [float(r[name]) for r in stocks]}
        if name in partner:
            columns["bench"] = [float(r[partner[name]]) for r in stocks]
        yield f"stock_{name.lower()}", table(**columns)


def main(argv):
    warnings.simplefilter("ignore")
    data, out, names = pathlib.Path(argv[0]), pathlib.Path(argv[1]), set(argv[2:])
    if pathlib.Path(__file__).resolve().parents[2] in (out.resolve(), *out.resolve().parents):
        sys.exit("OUT is inside the repository: these rows may not be committed")
    chosen = [o for o in OPERATORS if o.reference.startswith("TA-Lib") and o.kind == "bars" and (not names or o.name in names)]
    count = 0
    for name, d in series(data):
        (out / name).mkdir(parents=True, exist_ok=True)
        files.write_input(out / name / "in.csv", "bars", d)
        for o in chosen:
            columns = {}
            for k, case in enumerate(o.cases):
                for result, values in files.evaluate(case, d).items():
                    if any(v is not None for v in values):
                        columns[f"c{k + 1}" + (f".{result}" if result else "")] = values
            if columns:
                head = [f"# c{k + 1} = {case.call}" for k, case in enumerate(o.cases)] + [",".join(columns)]
                rows = [",".join(files.number(v) for v in row) for row in zip(*columns.values(), strict=True)]
                (out / name / f"{o.module}.{o.name}.csv").write_text("\n".join(head + rows) + "\n")
                count += 1
    print(f"{count} files")


if __name__ == "__main__":
    main(sys.argv[1:])
