"""What every reference shares: absent rows, whole windows, exact numbers.

An absent input is a tick that does not advance the operator: the rows where any input is absent are dropped, the definition is
applied to the rest, and the results are put back with absent where rows were dropped.
"""
from fractions import Fraction
import math

import mpmath
import numpy as np
import talib
from talib import abstract

mpmath.mp.dps = 50
mpf = mpmath.mpf


def dense(columns, function):
    """Applies `function` to the rows in which all `columns` are present; the rest of the rows is absent.

    `function` takes lists and returns one list or a dict of lists; NaN and infinity become absent.
    """
    keep = [i for i in range(len(columns[0])) if all(c[i] is not None for c in columns)]
    out = function(*[[c[i] for i in keep] for c in columns])

    def spread(values):
        rows = [None] * len(columns[0])
        for i, v in zip(keep, values, strict=True):
            rows[i] = finite(v)
        return rows

    return {k: spread(v) for k, v in out.items()} if isinstance(out, dict) else spread(out)


def finite(v):
    """A double, correctly rounded from whatever exact number it was; None when it is not finite."""
    if v is None:
        return None
    if isinstance(v, mpmath.mpf):
        v = float(v) if mpmath.isfinite(v) else math.nan
    v = float(v)
    return v if math.isfinite(v) else None


def ta(name, *columns, results=None, **parameters):
    """TA-Lib on the present rows. `results` names the outputs, in TA-Lib's order; None in it drops one."""

    def run(*xs):
        out = getattr(talib, name)(*[np.array(x, dtype=float) for x in xs], **parameters)
        if results is None:
            return values(out)
        return {r: values(o) for r, o in zip(results, out, strict=True) if r is not None}

    def values(out):
        # Whole-number outputs cannot be NaN: before the lookback they are absent too.
        if np.issubdtype(out.dtype, np.integer):
            function = abstract.Function(name)
            function.parameters = parameters
            return [None] * function.lookback + list(out)[function.lookback :]
        return list(out)

    return dense(columns, run)


def windows(n, function, *columns, exact=True):
    """`function(window, …)` of the last n present values at each tick, absent before n. Values are Fractions when `exact`."""

    def run(*xs):
        conv = Fraction if exact else float
        xs = [[conv(v) for v in x] for x in xs]
        return [None if i + 1 < n else function(*[x[i + 1 - n : i + 1] for x in xs]) for i in range(len(xs[0]))]

    return dense(columns, run)


def named(rows):
    """Turns a list of dicts (or None) into a dict of lists."""
    keys = next(r for r in rows if r is not None).keys()
    return {k: [None if r is None else r[k] for r in rows] for k in keys}


def windows_named(n, keys, function, *columns):
    """As `windows`, for a function that returns a dict."""

    def run(*xs):
        xs = [[Fraction(v) for v in x] for x in xs]
        rows = [None if i + 1 < n else function(*[x[i + 1 - n : i + 1] for x in xs]) for i in range(len(xs[0]))]
        return {k: [None if r is None else r[k] for r in rows] for k in keys}

    return dense(columns, run)


def history(n, function, *columns):
    """`function(all values so far, …)` at each tick, absent before n of them."""

    def run(*xs):
        xs = [[Fraction(v) for v in x] for x in xs]
        return [None if i + 1 < n else function(*[x[: i + 1] for x in xs]) for i in range(len(xs[0]))]

    return dense(columns, run)


def sqrt(v):
    """Square root of an exact number to 50 digits; absent (NaN) below zero."""
    return mpmath.sqrt(to_mp(v)) if v >= 0 else mpf("nan")


def to_mp(v):
    return mpf(v.numerator) / mpf(v.denominator) if isinstance(v, Fraction) else mpf(v)


def ln(v):
    return mpmath.log(to_mp(v)) if v > 0 else mpf("nan")


def ratio(a, b):
    """a / b, absent when b is zero."""
    return None if b == 0 else a / b


def mean(w):
    return sum(w) / len(w)


def central(w, k):
    m = mean(w)
    return sum((v - m) ** k for v in w) / len(w)


def variance(w, ddof=0):
    m = mean(w)
    return ratio(sum((v - m) ** 2 for v in w), len(w) - ddof)


def covariance(x, y, ddof=0):
    mx, my = mean(x), mean(y)
    return ratio(sum((a - mx) * (b - my) for a, b in zip(x, y)), len(x) - ddof)


def line_fit(x, y):
    """Least squares y = intercept + slope * x: (slope, intercept), or None when x does not vary."""
    slope = ratio(covariance(x, y), variance(x))
    return None if slope is None else (slope, mean(y) - slope * mean(x))
