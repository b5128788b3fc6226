"""The files: shortest decimals that read back to the same double, absent as an empty cell, one line per row."""
import hashlib
import math

from . import data
from .registry import SECOND

#: The relative tolerance of the design, and the share of a column's range that is always allowed.
RTOL, FLOOR = 1e-9, 1e-12
#: The inputs are moved by at most this share, 64 units in the last place, and twice the response is allowed.
JITTER, SLACK = 2.0**-46, 2
#: And never less than 16 units in the last place of the column's largest value.
ROUNDING = 2.0**-48


def number(v):
    if v is None:
        return ""
    if isinstance(v, str):
        return v
    if isinstance(v, int) and not isinstance(v, bool):
        return str(v)
    v = float(v)
    if not math.isfinite(v):
        raise ValueError("a golden value is not finite")
    text = repr(v)
    return text[:-2] if text.endswith(".0") else text


def columns_of(kind):
    return data.BAR_COLUMNS if kind == "bars" else data.EVENT_COLUMNS


def write_input(path, kind, table):
    names = columns_of(kind)
    lines = [",".join(names)] + [",".join(number(table.columns[c][i]) for c in names) for i in range(table.rows)]
    path.write_text("\n".join(lines) + "\n")


def sets_of(operator, case_idx):
    return data.SETS if case_idx == 0 or operator.wide else SECOND


def evaluate(case, table):
    out = case.value(table)
    return out if isinstance(out, dict) else {"": out}


def golden(operator):
    """{(set, case index, result name): values}, in file order."""
    out = {}
    for k, case in enumerate(operator.cases):
        for name in sets_of(operator, k):
            for result, values in evaluate(case, data.make(operator.kind, name)).items():
                out[name, k, result] = values
    return out


def column_name(key):
    name, k, result = key
    return f"{name}.c{k + 1}" + (f".{result}" if result else "")


def write_golden(path, operator, columns):
    head = [f"# c{k + 1} = {case.call}" for k, case in enumerate(operator.cases)]
    head.append(",".join(map(column_name, columns)))
    rows = [",".join(number(v) for v in row) for row in zip(*columns.values(), strict=True)]
    path.write_text("\n".join(head + rows) + "\n")


def jittered(table, names, seed):
    """The table with every number moved by at most JITTER of itself; equal numbers stay equal."""

    def moved(v):
        if v is None or isinstance(v, (str, int)):
            return v
        digest = hashlib.sha256(f"{seed} {v!r}".encode()).digest()
        return v * (1 + (digest[0] / 127.5 - 1) * JITTER)

    return data.Table({c: [moved(v) for v in table.columns[c]] if c in names else table.columns[c] for c in table.columns})


def tolerances(operator, columns):
    """(operator, column, rtol, atol): a value passes when |got - want| <= atol + rtol * |want|.

    rtol is RTOL, scaled down for a column that only moves a little around a level (prices near 1e8). atol is what moving the
    inputs by JITTER does to the column, times SLACK, and never below rounding; a response above 1e-7 of the column's range (1e-4 near 1e8)
    comes from a decision that flipped and is not counted.
    """
    names = set(columns_of(operator.kind)) - {"mark", "side", "ts_ns", "kind"}
    answers = {}
    out = []
    for (name, k, result), values in columns.items():
        present = [float(v) for v in values if v is not None]
        scale = max(map(abs, present), default=0.0)
        span = max(present, default=0.0) - min(present, default=0.0)
        response = 0.0
        most = (1e-4 if name == "offset" else 1e-7) * span
        if name != "flat" and span > 0:
            if (name, k) not in answers:
                table = data.make(operator.kind, name)
                answers[name, k] = [evaluate(operator.cases[k], jittered(table, names, s)) for s in range(2)]
            for other in answers[name, k]:
                for a, b in zip(values, other[result]):
                    if a is not None and b is not None and abs(float(a) - float(b)) <= most:
                        response = max(response, abs(float(a) - float(b)))
        atol = max(FLOOR * span, SLACK * response, ROUNDING * scale) if span > 0 else FLOOR * (scale or 1.0)
        rtol = RTOL * min(1.0, span / scale) if span > 0 else FLOOR
        out.append((f"{operator.module}.{operator.name}", column_name((name, k, result)), float(f"{rtol:.2g}"), float(f"{atol:.2g}")))
    return out


def write_tolerances(path, rows, keep):
    """Sorted by operator; with `keep`, the rows of other operators stay as they are."""
    lines = [f"{o},{c},{number(r)},{number(a)}" for o, c, r, a in rows]
    if keep and path.exists():
        new = {line.split(",")[0] for line in lines}
        lines += [line for line in path.read_text().splitlines()[1:] if line.split(",")[0] not in new]
    path.write_text("\n".join(["operator,column,rtol,atol", *sorted(lines)]) + "\n")
