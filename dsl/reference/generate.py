"""Write the inputs, the golden outputs and the catalogue of the standard library.

Input    nothing but the seeds in refs/data.py; run in an environment with requirements.txt (README.md beside this file).
Output   golden/in/<kind>_<set>.csv, golden/<module>.<name>.csv, golden/tolerance.csv and ../lang/std/CATALOGUE.md.
Option   --into DIR writes there instead (check.py compares); names of operators limit the work to them.
"""
import multiprocessing
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from refs import catalogue, data, files  # noqa: E402
from refs.registry import OPERATORS  # noqa: E402
import refs.all  # noqa: E402, F401

HERE = pathlib.Path(__file__).resolve().parent


def one(job):
    into, index = job
    o = OPERATORS[index]
    columns = files.golden(o)
    files.write_golden(into / f"{o.module}.{o.name}.csv", o, columns)
    return files.tolerances(o, columns)


def main(argv):
    into = pathlib.Path(argv[argv.index("--into") + 1]) if "--into" in argv else HERE / "golden"
    names = {a for k, a in enumerate(argv) if not a.startswith("--") and (k == 0 or argv[k - 1] != "--into")}
    chosen = [o for o in OPERATORS if not names or o.name in names or f"{o.module}.{o.name}" in names]
    (into / "in").mkdir(parents=True, exist_ok=True)
    for kind in ("bars", "events"):
        for name in data.SETS:
            files.write_input(into / "in" / f"{kind}_{name}.csv", kind, data.make(kind, name))
    with multiprocessing.get_context("fork").Pool(2) as pool:
        tolerances = sum(pool.imap(one, [(into, OPERATORS.index(o)) for o in chosen]), [])
    files.write_tolerances(into / "tolerance.csv", tolerances, keep=bool(names))
    if not names:
        (into / "CATALOGUE.md" if "--into" in argv else HERE.parent / "lang" / "std" / "CATALOGUE.md").write_text(catalogue.text(OPERATORS))
    print(f"{len(chosen)} operators")


if __name__ == "__main__":
    main(sys.argv[1:])
