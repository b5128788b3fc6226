"""std.ta: what TA-Lib has, it answers; where its sums of squares lose digits, its own definition is evaluated exactly."""
from fractions import Fraction

import mpmath

from .exact import (
    covariance, dense, line_fit, ln, mean, mpf, named, ratio, sqrt, ta, to_mp, variance, windows, windows_named,
)
from .registry import op

B = "b: ohlcv"
TA = "TA-Lib"


def add(name, signature, result, ready, seed, cost, numerics, reference, cases, clock="counting", **more):
    op("std.ta", name, signature, result, clock, ready, seed, cost, numerics, reference, cases, **more)


def hlc(d):
    return d.high, d.low, d.close


def hlcv(d):
    return d.high, d.low, d.close, d.volume


# ---- Overlap ---------------------------------------------------------------------------------------------------------
def simple(name, function, default, lookback, seed, cost, numerics, cases=(5, 20), ready=None):
    """A moving average of one series and one count."""
    add(
        name, f"(a: num, n: int = {default}): num", "of a", ready or lookback[0], seed, cost, numerics, f"{TA} {function}(timeperiod = n)",
        [(f"{name}(b.close, {n})", lambda d, n=n: ta(function, d.close, timeperiod=n), lookback[1](n)) for n in cases],
    )


N = ("n", lambda n: n)
simple("sma", "SMA", 30, N, "none", "plain", "sum", (20, 5))
add(
    "ema", "(a: num, n: int = 30, seed: sma): num", "of a", "n", "mean of the first n; `seed: first` the first value", "plain", "rec",
    "TA-Lib EMA(timeperiod = n), default compatibility; `seed: first`: pandas ewm(span = n, adjust = False), ready after n",
    [
        ("ema(b.close, 20)", lambda d: ta("EMA", d.close, timeperiod=20), 20),
        ("ema(b.close, 5)", lambda d: ta("EMA", d.close, timeperiod=5), 5),
        ("ema(b.close, 10, seed: first)", lambda d: dense([d.close], lambda x: ewm(x, Fraction(2, 11), 10)), 10),
    ],
)


def ewm(x, alpha, ready):
    """Direct weights: the first value weighs (1 - alpha)^k, the one j ticks ago alpha (1 - alpha)^j. At 50 digits."""
    a = to_mp(alpha)
    out = []
    for i in range(len(x)):
        w = [(1 - a) ** i] + [a * (1 - a) ** (i - j) for j in range(1, i + 1)]
        out.append(None if i + 1 < ready else sum(wj * mpf(xj) for wj, xj in zip(w, x)))
    return out


simple("wma", "WMA", 30, N, "none", "plain", "sum", (20, 5))
simple("dema", "DEMA", 30, ("2n - 1", lambda n: 2 * n - 1), "EMA seeds", "plain", "rec", (10, 4))
simple("tema", "TEMA", 30, ("3n - 2", lambda n: 3 * n - 2), "EMA seeds", "plain", "rec", (10, 4))
simple("trima", "TRIMA", 30, N, "none", "plain", "sum", (20, 5))
simple("kama", "KAMA", 30, ("n + 1", lambda n: n + 1), "value before the first output", "plain", "sum of |changes|, rec", (10, 20))
add(
    "t3", "(a: num, n: int = 5, v: ratio = 0.7): num", "of a", "6n - 5", "six SMA-seeded EMAs", "plain", "rec", "TA-Lib T3(timeperiod, vfactor)",
    [
        ("t3(b.close, 5, 0.7)", lambda d: ta("T3", d.close, timeperiod=5, vfactor=0.7), 25),
        ("t3(b.close, 8, 0.5)", lambda d: ta("T3", d.close, timeperiod=8, vfactor=0.5), 43),
    ],
)
add(
    "mama", "(a: num, fast: ratio = 0.5, slow: ratio = 0.05): (mama: num, fama: num)", "of a", "33", "zeros, 12 ticks of Hilbert warm-up",
    "plain", "rec", "TA-Lib MAMA(fastlimit, slowlimit); its answer includes its start-up transient",
    [
        ("mama(b.close, 0.5, 0.05)", lambda d: ta("MAMA", d.close, fastlimit=0.5, slowlimit=0.05, results=("mama", "fama")), 33),
        ("mama(b.close, 0.4, 0.1)", lambda d: ta("MAMA", d.close, fastlimit=0.4, slowlimit=0.1, results=("mama", "fama")), 33),
    ],
)
simple("rma", "RMA", 30, N, "mean of the first n", "plain", "rec", (14, 5))
simple("hma", "HMA", 20, ("n + floor(sqrt(n)) - 1", lambda n: n + int(n**0.5) - 1), "none", "plain", "sum", (16, 9))
add(
    "vwma", f"({B}, n: int = 30): price", "price", "n", "none", "plain", "sum", "TA-Lib VWMA(close, volume, timeperiod)",
    [(f"vwma(b, {n})", lambda d, n=n: ta("VWMA", d.close, d.volume, timeperiod=n), n) for n in (20, 5)],
)
simple("zlema", "ZLEMA", 30, ("n + floor((n - 1) / 2)", lambda n: n + (n - 1) // 2), "mean of the first n de-lagged values", "plain", "rec", (10, 21))


def bands(w, up, down):
    m, s = mean(w), sqrt(variance(w))
    return {"upper": to_mp(m) + mpf(up) * s, "middle": m, "lower": to_mp(m) - mpf(down) * s}


BANDS = ("upper", "middle", "lower")
add(
    "bbands", "(a: num, n: int = 20, up: ratio = 2, down: ratio = 2): (upper: num, middle: num, lower: num)", "of a", "n", "none", "plain",
    "welford", "TA-Lib BBANDS(timeperiod, nbdevup, nbdevdn, matype = SMA), population deviation, evaluated exactly",
    [
        ("bbands(b.close, 20, 2, 2)", lambda d: windows_named(20, BANDS, lambda w: bands(w, 2, 2), d.close), 20),
        ("bbands(b.close, 10, 1.5, 2.5)", lambda d: windows_named(10, BANDS, lambda w: bands(w, 1.5, 2.5), d.close), 10),
    ],
)
add(
    "keltner", f"({B}, n: int = 20, atr_n: int = 10, width: ratio = 2): (upper: price, middle: price, lower: price)", "price",
    "max(n, atr_n + 1)", "both averages begin as plain means that end on the first output tick", "plain", "rec", "TA-Lib KC(timeperiod, atrperiod, nbdev): EMA of the typical price (not of the close), Wilder's ATR",
    [
        ("keltner(b, 20, 10, 2)", lambda d: ta("KC", *hlc(d), timeperiod=20, atrperiod=10, nbdev=2.0, results=BANDS), 20),
        ("keltner(b, 8, 12, 1.5)", lambda d: ta("KC", *hlc(d), timeperiod=8, atrperiod=12, nbdev=1.5, results=BANDS), 13),
    ],
)
add(
    "sar", f"({B}, step: ratio = 0.02, most: ratio = 0.2): price", "price", "2", "direction of the first move (MINUS_DM), extreme of bar 1",
    "plain", "rec with decisions", "TA-Lib SAR(acceleration, maximum)",
    [
        ("sar(b, 0.02, 0.2)", lambda d: ta("SAR", d.high, d.low, acceleration=0.02, maximum=0.2), 2),
        ("sar(b, 0.05, 0.3)", lambda d: ta("SAR", d.high, d.low, acceleration=0.05, maximum=0.3), 2),
    ],
)
add(
    "supertrend", f"({B}, n: int = 10, width: ratio = 3): (line: price, trend: real)", "price; trend is +1 or -1", "n + 1", "up", "plain",
    "rec with decisions", "TA-Lib SUPERTREND(timeperiod, multiplier): Wilder's ATR",
    [
        ("supertrend(b, 10, 3)", lambda d: ta("SUPERTREND", *hlc(d), timeperiod=10, multiplier=3.0, results=("line", "trend")), 11),
        ("supertrend(b, 7, 1)", lambda d: ta("SUPERTREND", *hlc(d), timeperiod=7, multiplier=1.0, results=("line", "trend")), 8),
    ],
)
add(
    "vwap", f"({B}): price", "price", "1", "0", "plain", "cum", "TA-Lib VWAP: typical price weighted by volume since the first bar; for a session use `anchored_vwap`",
    [("vwap(b)", lambda d: ta("VWAP", *hlcv(d)), 1)],
)


def anchored(h, l, c, v, mark):
    """From the latest tick at which `mark` turned true (this one included): sum(typical * volume) / sum(volume)."""
    out, start = [], None
    for i in range(len(h)):
        if mark[i] and (i == 0 or not mark[i - 1]):
            start = i
        if start is None:
            out.append(None)
            continue
        rows = range(start, i + 1)
        pv = sum((Fraction(h[j]) + Fraction(l[j]) + Fraction(c[j])) / 3 * Fraction(v[j]) for j in rows)
        out.append(ratio(pv, sum(Fraction(v[j]) for j in rows)))
    return out


add(
    "anchored_vwap", f"({B}, anchor: bool): price", "price", "first anchor", "restarts when anchor turns true, that bar included", "plain", "cum",
    "definition, fractions; equals TA-Lib VWAP when the anchor is the first bar; no volume yet: absent",
    [("anchored_vwap(b, mark)", lambda d: dense([*hlcv(d), d.mark], anchored), None)],
)


def regression(part):
    def f(w):
        slope, intercept = line_fit([Fraction(i) for i in range(len(w))], w)
        return {
            "linearreg": intercept + slope * (len(w) - 1), "linearreg_slope": slope, "linearreg_intercept": intercept,
            "linearreg_angle": mpmath.atan(to_mp(slope)) * 180 / mpmath.pi, "tsf": intercept + slope * len(w),
        }[part]

    return f


for name_, unit_ in (("linearreg", "num"), ("linearreg_slope", "num"), ("linearreg_intercept", "num"), ("linearreg_angle", "real"), ("tsf", "num")):
    add(
        name_, f"(a: num, n: int = 14): {unit_}",
        {"linearreg_slope": "of a, per tick", "linearreg_angle": "real, degrees of slope in a's shown unit"}.get(name_, "of a"),
        "n", "none", "plain", "sum of a - a[n] about the newest value", f"TA-Lib {name_.upper()}(timeperiod), evaluated exactly",
        [(f"{name_}(b.close, {n})", lambda d, n=n, p=name_: windows(n, regression(p), d.close), n) for n in (14, 5)],
    )
add(
    "midpoint", "(a: num, n: int = 14): num", "of a", "n", "none", "w", "extremum", "TA-Lib MIDPOINT(timeperiod)",
    [(f"midpoint(b.close, {n})", lambda d, n=n: ta("MIDPOINT", d.close, timeperiod=n), n) for n in (14, 5)],
)
add(
    "midprice", f"({B}, n: int = 14): price", "price", "n", "none", "w", "extremum", "TA-Lib MIDPRICE(high, low, timeperiod)",
    [(f"midprice(b, {n})", lambda d, n=n: ta("MIDPRICE", d.high, d.low, timeperiod=n), n) for n in (14, 5)],
)
add(
    "donchian", f"({B}, n: int = 20): (upper: price, middle: price, lower: price)", "price", "n", "none", "w", "extremum", "TA-Lib DONCHIAN(timeperiod)",
    [(f"donchian(b, {n})", lambda d, n=n: ta("DONCHIAN", d.high, d.low, timeperiod=n, results=BANDS), n) for n in (20, 5)],
)


def ichimoku(conv, base, span):
    def f(h, l):
        def middle(n, i):
            return None if i + 1 < n else (max(map(Fraction, h[i + 1 - n : i + 1])) + min(map(Fraction, l[i + 1 - n : i + 1]))) / 2

        rows = []
        for i in range(len(h)):
            c, b = middle(conv, i), middle(base, i)
            rows.append({"conversion": c, "base": b, "span_a": None if c is None or b is None else (c + b) / 2, "span_b": middle(span, i)})
        return named(rows)

    return f


add(
    "ichimoku", f"({B}, conversion: int = 9, base: int = 26, span: int = 52): (conversion: price, base: price, span_a: price, span_b: price)",
    "price", "each its own count; span_a with base", "none", "w", "extremum",
    "definition (Hosoda), fractions; no displacement: the cloud drawn today is `span_a[26]`, the lagging span would look ahead; `ta` 0.11 IchimokuIndicator agrees",
    [
        ("ichimoku(b, 9, 26, 52)", lambda d: dense([d.high, d.low], ichimoku(9, 26, 52)), 9),
        ("ichimoku(b, 5, 10, 20)", lambda d: dense([d.high, d.low], ichimoku(5, 10, 20)), 5),
    ],
)
for name_, function_ in (("highest", "MAX"), ("lowest", "MIN")):
    add(
        name_, "(a: num, n: int = 30): num", "of a", "n", "none", "w", "extremum", f"TA-Lib {function_}(timeperiod)",
        [(f"{name_}(b.close, {n})", lambda d, n=n, f=function_: ta(f, d.close, timeperiod=n), n) for n in (20, 5)],
    )


# ---- Momentum --------------------------------------------------------------------------------------------------------
def osc(name, function, default, ready, unit, seed, cost, numerics, cases, note=""):
    add(
        name, f"(a: num, n: int = {default}): {unit}", unit if unit == "real" else "of a", ready[0], seed, cost, numerics,
        f"TA-Lib {function}(timeperiod){note}",
        [(f"{name}(b.close, {n})", lambda d, n=n: ta(function, d.close, timeperiod=n), ready[1](n)) for n in cases],
    )


N1 = ("n + 1", lambda n: n + 1)
osc("rsi", "RSI", 14, N1, "real", "mean of the first n gains and losses", "plain", "rec", (14, 5), "; no move: 0")
MACD = ("line", "sig", "hist")
MACD_SIG = "(line: num, sig: num, hist: num)"
add(
    "macd", f"(a: num, fast: int = 12, slow: int = 26, smooth: int = 9): {MACD_SIG}", "of a", "slow + smooth - 1",
    "both EMAs so that they start on the same tick: the fast one's mean is of ticks slow - fast + 1 .. slow", "plain", "rec",
    "TA-Lib MACD(fastperiod, slowperiod, signalperiod); `signal` is reserved, so `sig` and `smooth`",
    [
        ("macd(b.close, 12, 26, 9)", lambda d: ta("MACD", d.close, fastperiod=12, slowperiod=26, signalperiod=9, results=MACD), 34),
        ("macd(b.close, 5, 8, 3)", lambda d: ta("MACD", d.close, fastperiod=5, slowperiod=8, signalperiod=3, results=MACD), 10),
    ],
)
add(
    "macdext", f"(a: num, fast: int = 12, slow: int = 26, smooth: int = 9, kind: sma): {MACD_SIG}", "of a", "slow + smooth - 1 for SMA",
    "of the averages", "plain", "sum", "TA-Lib MACDEXT, all three matypes = kind (sma 0, ema 1, wma 2); default SMA as there",
    [
        ("macdext(b.close, 12, 26, 9)", lambda d: ta("MACDEXT", d.close, results=MACD), 34),
        ("macdext(b.close, 5, 8, 3, kind: wma)", lambda d: ta(
            "MACDEXT", d.close, fastperiod=5, slowperiod=8, signalperiod=3, fastmatype=2, slowmatype=2, signalmatype=2, results=MACD), 10),
    ],
)
add(
    "macdfix", f"(a: num, smooth: int = 9): {MACD_SIG}", "of a", "smooth + 25", "as macd", "plain", "rec",
    "TA-Lib MACDFIX(signalperiod): alphas 0.15 and 0.075, not 2/13 and 2/27",
    [(f"macdfix(b.close, {n})", lambda d, n=n: ta("MACDFIX", d.close, signalperiod=n, results=MACD), n + 25) for n in (9, 4)],
)
for name_, unit_, what_ in (("ppo", "real", "100 (fast - slow) / slow"), ("apo", "num", "fast - slow")):
    add(
        name_, f"(a: num, fast: int = 12, slow: int = 26, kind: ema): {unit_}", "real, percent" if unit_ == "real" else "of a", "slow",
        "of the averages; each EMA by its own first n", "plain", "rec",
        f"TA-Lib {name_.upper()}(fastperiod, slowperiod, matype = kind): {what_}; this wheel's default is EMA",
        [
            (f"{name_}(b.close, 12, 26)", lambda d, f=name_.upper(): ta(f, d.close, fastperiod=12, slowperiod=26, matype=1), 26),
            (f"{name_}(b.close, 3, 10, kind: sma)", lambda d, f=name_.upper(): ta(f, d.close, fastperiod=3, slowperiod=10, matype=0), 10),
        ],
    )
osc("roc", "ROC", 10, N1, "real", "none", "plain", "100 (a - a[n]) / a[n]", (10, 3), ": 100 (a / a[n] - 1), percent")
osc("rocp", "ROCP", 10, N1, "real", "none", "plain", "(a - a[n]) / a[n]", (10, 3), ": (a - a[n]) / a[n]")
osc("rocr", "ROCR", 10, N1, "real", "none", "plain", "pure over a ring", (10, 3), ": a / a[n]")
osc("mom", "MOM", 10, N1, "num", "none", "plain", "pure over a ring", (10, 3), ": a - a[n]")
osc("cmo", "CMO", 14, N1, "real", "mean of the first n gains and losses", "plain", "rec", (14, 5), ": Wilder-smoothed, not Chande's plain sums (TA-Lib CMOU)")
add(
    "adx", f"({B}, n: int = 14): real", "real", "2n", "sums of n - 1 moves, then mean of the first n DX", "plain", "rec", "TA-Lib ADX(timeperiod)",
    [(f"adx(b, {n})", lambda d, n=n: ta("ADX", *hlc(d), timeperiod=n), 2 * n) for n in (14, 5)],
)
add(
    "adxr", f"({B}, n: int = 14): real", "real", "3n - 1", "as adx", "plain", "rec", "TA-Lib ADXR(timeperiod): mean of ADX now and n - 1 ticks ago",
    [(f"adxr(b, {n})", lambda d, n=n: ta("ADXR", *hlc(d), timeperiod=n), 3 * n - 1) for n in (14, 5)],
)
for name_ in ("dx", "plus_di", "minus_di"):
    add(
        name_, f"({B}, n: int = 14): real", "real", "n + 1", "sums of the first n - 1 moves", "plain", "rec", f"TA-Lib {name_.upper()}(timeperiod)",
        [(f"{name_}(b, {n})", lambda d, n=n, f=name_.upper(): ta(f, *hlc(d), timeperiod=n), n + 1) for n in (14, 5)],
    )
add("bop", f"({B}): real", "real", "1", "none", "plain", "pure", "TA-Lib BOP: (close - open) / (high - low), 0 when high = low",
    [("bop(b)", lambda d: ta("BOP", d.open, *hlc(d)), 1)], clock="pure")
add(
    "mfi", f"({B}, n: int = 14): real", "real", "n + 1", "none", "plain", "sum", "TA-Lib MFI(timeperiod); a total money flow below 1.0 gives 0",
    [(f"mfi(b, {n})", lambda d, n=n: ta("MFI", *hlcv(d), timeperiod=n), n + 1) for n in (14, 5)],
)
osc("trix", "TRIX", 30, ("3n - 1", lambda n: 3 * n - 1), "real", "three SMA-seeded EMAs", "plain", "rec", (10, 4), ": percent change of the triple EMA")
add(
    "ultosc", f"({B}, n1: int = 7, n2: int = 14, n3: int = 28): real", "real", "max(n1, n2, n3) + 1", "none", "plain", "sum", "TA-Lib ULTOSC",
    [
        ("ultosc(b, 7, 14, 28)", lambda d: ta("ULTOSC", *hlc(d), timeperiod1=7, timeperiod2=14, timeperiod3=28), 29),
        ("ultosc(b, 3, 5, 8)", lambda d: ta("ULTOSC", *hlc(d), timeperiod1=3, timeperiod2=5, timeperiod3=8), 9),
    ],
)
add(
    "tsi", "(a: num, first: int = 25, second: int = 13): real", "real", "first + second", "SMA-seeded EMAs", "plain", "rec", "TA-Lib TSI(firstperiod, secondperiod)",
    [(f"tsi(b.close, {p}, {q})", lambda d, p=p, q=q: ta("TSI", d.close, firstperiod=p, secondperiod=q), p + q) for p, q in ((25, 13), (7, 4))],
)


def kst(rocs, smas, signal):
    def f(x):
        x = [Fraction(v) for v in x]

        def sma(v, n):
            return [None if i + 1 < n or None in v[i + 1 - n : i + 1] else mean(v[i + 1 - n : i + 1]) for i in range(len(v))]

        parts = [sma([None if i < r else 100 * (x[i] - x[i - r]) / x[i - r] for i in range(len(x))], n) for r, n in zip(rocs, smas)]
        line = [None if None in p else sum((k + 1) * v for k, v in enumerate(p)) for p in zip(*parts)]
        return {"line": line, "sig": sma(line, signal)}

    return f


add(
    "kst", "(a: num, r1: int = 10, r2: int = 15, r3: int = 20, r4: int = 30, n1: int = 10, n2: int = 10, n3: int = 10, n4: int = 15, smooth: int = 9): (line: real, sig: real)",
    "real", "max(r + n); sig + smooth - 1", "none", "plain", "sum", "Pring, Know Sure Thing (S&C 1992): sum of k * SMA(ROC_k), fractions; `ta` 0.11 KSTIndicator agrees",
    [
        ("kst(b.close, 10, 15, 20, 30, 10, 10, 10, 15, 9)", lambda d: dense([d.close], kst((10, 15, 20, 30), (10, 10, 10, 15), 9)), 45),
        ("kst(b.close, 3, 4, 5, 7, 2, 2, 3, 4, 5)", lambda d: dense([d.close], kst((3, 4, 5, 7), (2, 2, 3, 4), 5)), 11),
    ],
)
add(
    "coppock", "(a: num, smooth: int = 10, r1: int = 11, r2: int = 14): real", "real, percent", "max(r1, r2) + smooth", "none", "plain", "sum", "TA-Lib COPPOCK(wmaperiod, roc1period, roc2period)",
    [
        (f"coppock(b.close, {w}, {p}, {q})", lambda d, w=w, p=p, q=q: ta("COPPOCK", d.close, wmaperiod=w, roc1period=p, roc2period=q), max(p, q) + w)
        for w, p, q in ((10, 11, 14), (4, 6, 3))
    ],
)
add(
    "stoch", f"({B}, fast_k: int = 5, slow_k: int = 3, slow_d: int = 3): (k: real, d: real)", "real", "fast_k + slow_k + slow_d - 2", "none", "w", "extremum, sum",
    "TA-Lib STOCH, both matypes SMA; no range: 0",
    [
        (f"stoch(b, {p}, {q}, {r})", lambda d, p=p, q=q, r=r: ta("STOCH", *hlc(d), fastk_period=p, slowk_period=q, slowd_period=r, results=("k", "d")), p + q + r - 2)
        for p, q, r in ((5, 3, 3), (14, 4, 2))
    ],
)
add(
    "stochf", f"({B}, fast_k: int = 5, fast_d: int = 3): (k: real, d: real)", "real", "fast_k + fast_d - 1", "none", "w", "extremum, sum", "TA-Lib STOCHF, matype SMA",
    [(f"stochf(b, {p}, {q})", lambda d, p=p, q=q: ta("STOCHF", *hlc(d), fastk_period=p, fastd_period=q, results=("k", "d")), p + q - 1) for p, q in ((5, 3), (14, 2))],
)
add(
    "stochrsi", "(a: num, n: int = 14, fast_k: int = 5, fast_d: int = 3): (k: real, d: real)", "real", "n + fast_k + fast_d - 1", "as rsi", "w", "rec, extremum",
    "TA-Lib STOCHRSI, matype SMA",
    [
        (f"stochrsi(b.close, {n}, {p}, {q})", lambda d, n=n, p=p, q=q: ta("STOCHRSI", d.close, timeperiod=n, fastk_period=p, fastd_period=q, results=("k", "d")), n + p + q - 1)
        for n, p, q in ((14, 5, 3), (6, 9, 2))
    ],
)
add(
    "aroon", f"({B}, n: int = 14): (down: real, up: real)", "real", "n + 1", "none", "w", "extremum", "TA-Lib AROON(timeperiod): window of n + 1, latest of equal extremes",
    [(f"aroon(b, {n})", lambda d, n=n: ta("AROON", d.high, d.low, timeperiod=n, results=("down", "up")), n + 1) for n in (14, 5)],
)
add(
    "aroonosc", f"({B}, n: int = 14): real", "real", "n + 1", "none", "w", "extremum", "TA-Lib AROONOSC(timeperiod)",
    [(f"aroonosc(b, {n})", lambda d, n=n: ta("AROONOSC", d.high, d.low, timeperiod=n), n + 1) for n in (14, 5)],
)
add(
    "willr", f"({B}, n: int = 14): real", "real", "n", "none", "w", "extremum", "TA-Lib WILLR(timeperiod)",
    [(f"willr(b, {n})", lambda d, n=n: ta("WILLR", *hlc(d), timeperiod=n), n) for n in (14, 5)],
)
add(
    "cci", f"({B}, n: int = 14): real", "real", "n", "none", "W", "direct over the window", "TA-Lib CCI(timeperiod); 0 when the last value is the mean or nothing varies",
    [(f"cci(b, {n})", lambda d, n=n: ta("CCI", *hlc(d), timeperiod=n), n) for n in (14, 5)],
)

# ---- Volatility ------------------------------------------------------------------------------------------------------
add("trange", f"({B}): price", "price", "2", "none", "plain", "pure over one ring slot", "TA-Lib TRANGE",
    [("trange(b)", lambda d: ta("TRANGE", *hlc(d)), 2)])
add(
    "atr", f"({B}, n: int = 14): price", "price", "n + 1", "mean of the first n true ranges", "plain", "rec", "TA-Lib ATR(timeperiod)",
    [(f"atr(b, {n})", lambda d, n=n: ta("ATR", *hlc(d), timeperiod=n), n + 1) for n in (14, 5)],
)
add(
    "natr", f"({B}, n: int = 14): real", "real, percent", "n + 1", "as atr", "plain", "rec", "TA-Lib NATR(timeperiod): 100 atr / close",
    [(f"natr(b, {n})", lambda d, n=n: ta("NATR", *hlc(d), timeperiod=n), n + 1) for n in (14, 5)],
)
add(
    "stddev", "(a: num, n: int = 5, k: ratio = 1): num", "of a", "n", "none", "plain", "welford", "TA-Lib STDDEV(timeperiod, nbdev): k times the population deviation, evaluated exactly",
    [
        ("stddev(b.close, 20, 1)", lambda d: windows(20, lambda w: sqrt(variance(w)), d.close), 20),
        ("stddev(b.close, 5, 2)", lambda d: windows(5, lambda w: 2 * sqrt(variance(w)), d.close), 5),
    ],
)
add(
    "var", "(a: num, n: int = 5): num^2", "of a, squared", "n", "none", "plain", "welford", "TA-Lib VAR(timeperiod): population variance, evaluated exactly; sample variance is `std.stat.var`",
    [(f"var(b.close, {n})", lambda d, n=n: windows(n, variance, d.close), n) for n in (20, 5)],
)


def mean_log(f, root=True):
    """sqrt(mean over the window of f(bar)); bars are tuples of Fractions."""

    def g(*w):
        v = sum(f(*bar) for bar in zip(*w)) / len(w[0])
        return mpmath.sqrt(v) if v >= 0 else mpf("nan")

    return g


def parkinson(h, l):
    return ln(h / l) ** 2 / (4 * mpmath.log(2))


def garman_klass(o, h, l, c):
    return ln(h / l) ** 2 / 2 - (2 * mpmath.log(2) - 1) * ln(c / o) ** 2


def rogers_satchell(o, h, l, c):
    return ln(h / c) * ln(h / o) + ln(l / c) * ln(l / o)


def yang_zhang(o, h, l, c, before):
    n = len(o)
    over = [ln(a / b) for a, b in zip(o, before)]
    day = [ln(a / b) for a, b in zip(c, o)]
    rs = sum(rogers_satchell(*bar) for bar in zip(o, h, l, c)) / n
    k = mpf("0.34") / (mpf("1.34") + mpf(n + 1) / (n - 1))
    return mpmath.sqrt(variance(over, 1) + k * variance(day, 1) + (1 - k) * rs)


def yz(n):
    def f(o, h, l, c):
        q = [[Fraction(v) for v in s] for s in (o, h, l, c)]
        before = [None, *q[3][:-1]]
        return [None if i < n else yang_zhang(*[s[i + 1 - n : i + 1] for s in (*q, before)]) for i in range(len(o))]

    return f


VOL = "ratio per sqrt(bar), not annualised"
add("parkinson", f"({B}, n: int = 20): ratio", VOL, "n", "none", "plain", "sum", "Parkinson, J. Business 53 (1980) eq. 7; definition, mpmath",
    [(f"parkinson(b, {n})", lambda d, n=n: windows(n, mean_log(parkinson), d.high, d.low), n) for n in (20, 5)])
add("garman_klass", f"({B}, n: int = 20): ratio", VOL, "n", "none", "plain", "sum",
    "Garman & Klass, J. Business 53 (1980), the practical estimator (eq. 20 with its cross term left out, as the field uses it); mpmath",
    [(f"garman_klass(b, {n})", lambda d, n=n: windows(n, mean_log(garman_klass), d.open, *hlc(d)), n) for n in (20, 5)])
add("rogers_satchell", f"({B}, n: int = 20): ratio", VOL, "n", "none", "plain", "sum", "Rogers & Satchell, Ann. Appl. Prob. 1 (1991); definition, mpmath",
    [(f"rogers_satchell(b, {n})", lambda d, n=n: windows(n, mean_log(rogers_satchell), d.open, *hlc(d)), n) for n in (20, 5)])
add("yang_zhang", f"({B}, n: int = 20): ratio", VOL, "n + 1", "none", "plain", "welford", "Yang & Zhang, J. Business 73 (2000) eqs. 7-10, alpha = 1.34, sample variances; mpmath",
    [(f"yang_zhang(b, {n})", lambda d, n=n: dense([d.open, *hlc(d)], yz(n)), n + 1) for n in (20, 5)])

# ---- Volume ----------------------------------------------------------------------------------------------------------
add("obv", f"({B}): qty", "qty", "1", "first volume", "plain", "cum", "TA-Lib OBV(close, volume)", [("obv(b)", lambda d: ta("OBV", d.close, d.volume), 1)])
add("ad", f"({B}): qty", "qty", "1", "0", "plain", "cum", "TA-Lib AD; a bar with no range adds nothing", [("ad(b)", lambda d: ta("AD", *hlcv(d)), 1)])
add(
    "adosc", f"({B}, fast: int = 3, slow: int = 10): qty", "qty", "max(fast, slow)", "both EMAs with the first AD value", "plain", "cum, rec",
    "TA-Lib ADOSC(fastperiod, slowperiod)",
    [(f"adosc(b, {p}, {q})", lambda d, p=p, q=q: ta("ADOSC", *hlcv(d), fastperiod=p, slowperiod=q), max(p, q)) for p, q in ((3, 10), (5, 8))],
)
add("cmf", f"({B}, n: int = 20): real", "real", "n", "none", "plain", "sum", "TA-Lib CMF(timeperiod)",
    [(f"cmf(b, {n})", lambda d, n=n: ta("CMF", *hlcv(d), timeperiod=n), n) for n in (20, 5)])
add("efi", f"({B}, n: int = 13): money", "price * qty", "n + 1", "mean of the first n forces", "plain", "rec", "TA-Lib EFI(close, volume, timeperiod)",
    [(f"efi(b, {n})", lambda d, n=n: ta("EFI", d.close, d.volume, timeperiod=n), n + 1) for n in (13, 5)])
add("vpt", f"({B}): qty", "qty", "1", "0", "plain", "cum", "TA-Lib PVT(close, volume): the same indicator under its other name", [("vpt(b)", lambda d: ta("PVT", d.close, d.volume), 1)])
add("nvi", f"({B}): real", "real", "1", "1000", "plain", "product", "TA-Lib NVI(close, volume); its start value stands in the golden file",
    [("nvi(b)", lambda d: ta("NVI", d.close, d.volume), 1)])


def ema_sma(x, n):
    """TA-Lib's EMA of a list that may begin with absent values, at 50 digits."""
    first = next(i for i, v in enumerate(x) if v is not None)
    out = [None] * len(x)
    if len(x) - first < n:
        return out
    y = sum(to_mp(v) for v in x[first : first + n]) / n
    out[first + n - 1] = y
    for i in range(first + n, len(x)):
        y = y + mpf(2) / (n + 1) * (to_mp(x[i]) - y)
        out[i] = y
    return out


def klinger(fast, slow, signal):
    def f(h, l, c, v):
        h, l, c, v = [[Fraction(q) for q in s] for s in (h, l, c, v)]
        force, trend, cm = [None], None, None
        for i in range(1, len(h)):
            now = 1 if h[i] + l[i] + c[i] > h[i - 1] + l[i - 1] + c[i - 1] else -1
            dm, before = h[i] - l[i], h[i - 1] - l[i - 1]
            cm = (cm + dm) if now == trend else before + dm
            trend = now
            force.append(Fraction(0) if cm == 0 else v[i] * abs(2 * dm / cm - 1) * now * 100)
        a, b = ema_sma(force, fast), ema_sma(force, slow)
        line = [None if p is None or q is None else p - q for p, q in zip(a, b)]
        return {"line": line, "sig": ema_sma(line, signal)}

    return f


add(
    "klinger", f"({B}, fast: int = 34, slow: int = 55, smooth: int = 13): (line: qty, sig: qty)", "qty", "slow + 1; sig + smooth - 1",
    "SMA-seeded EMAs; the first cumulative range is the two bars' ranges", "plain", "rec",
    "Klinger, S&C Dec 1997: volume * |2 dm / cm - 1| * trend * 100, trend by the sum high + low + close (equal: down); no range: 0; mpmath",
    [
        ("klinger(b, 34, 55, 13)", lambda d: dense(list(hlcv(d)), klinger(34, 55, 13)), 56),
        ("klinger(b, 5, 9, 4)", lambda d: dense(list(hlcv(d)), klinger(5, 9, 4)), 10),
    ],
)


def profile(n, bins):
    def f(h, l, c, v):
        low, high = min(l), max(h)
        if high == low:
            return low if sum(v) > 0 else None
        total = [Fraction(0)] * bins
        for a, b, e, q in zip(h, l, c, v):
            total[min(int(((a + b + e) / 3 - low) * bins / (high - low)), bins - 1)] += q
        best = total.index(max(total))
        return low + (high - low) * (2 * best + 1) / (2 * bins)

    return f


add(
    "volume_profile", f"({B}, n: int = 60, bins: int = 24): price", "price", "n", "none", "B", "direct over the window",
    "point of control: centre of the bin (lowest of equals) of the typical price with most volume, bins between lowest low and highest high; fractions",
    [(f"volume_profile(b, {n}, {k})", lambda d, n=n, k=k: windows(n, profile(n, k), *hlcv(d)), n) for n, k in ((60, 24), (10, 5))],
)

# ---- Price and cycle -------------------------------------------------------------------------------------------------
for name_, formula_, columns_ in (
    ("avgprice", "(o + h + l + c) / 4", ("open", "high", "low", "close")), ("medprice", "(h + l) / 2", ("high", "low")),
    ("typprice", "(h + l + c) / 3", ("high", "low", "close")), ("wclprice", "(h + l + 2c) / 4", ("high", "low", "close")),
):
    add(name_, f"({B}): price", "price", "1", "none", "plain", "pure", f"TA-Lib {name_.upper()}: {formula_}",
        [(f"{name_}(b)", lambda d, f=name_.upper(), cs=columns_: ta(f, *[getattr(d, c) for c in cs]), 1)], clock="pure")
add("heikin_ashi", f"({B}): (open: price, high: price, low: price, close: price)", "price", "1", "TA-Lib's first open", "plain", "rec", "TA-Lib HA",
    [("heikin_ashi(b)", lambda d: ta("HA", d.open, *hlc(d), results=("open", "high", "low", "close")), 1)])
for name_, ready_, results_, unit_ in (
    ("ht_dcperiod", 33, None, "real, ticks"), ("ht_dcphase", 64, None, "real, degrees"), ("ht_phasor", 33, ("inphase", "quadrature"), "of a"),
    ("ht_sine", 64, ("sine", "lead"), "real"), ("ht_trendline", 64, None, "of a"), ("ht_trendmode", 64, None, "real, 0 or 1"),
):
    ty_ = "num" if unit_ == "of a" else "real"
    add(name_, "(a: num): " + (ty_ if results_ is None else "(" + ", ".join(f"{r}: {ty_}" for r in results_) + ")"), unit_, str(ready_),
        "zeros, 9 or 34 ticks of warm-up", "plain" if ready_ == 33 else "W (at most 50 values)", "rec",
        f"TA-Lib {name_.upper()} (Ehlers, Rocket Science for Traders 2001); its answer includes its start-up transient",
        [(f"{name_}(b.close)", lambda d, f=name_.upper(), r=results_: ta(f, d.close, results=r), ready_)])


def zigzag(change):
    def f(x):
        """At each tick, look back over all values: pivots are the extremes from which the series has since turned by `change`."""
        x = [Fraction(v) for v in x]
        change_ = Fraction(change)
        out, pivots, start, direction = [], [], 0, 0
        for i in range(len(x)):
            leg = range(start, i + 1)
            top = max(leg, key=lambda j: (x[j], -j))
            bottom = min(leg, key=lambda j: (x[j], j))
            if direction >= 0 and x[i] <= x[top] * (1 - change_):
                pivots.append((top, 1))
                start, direction = top, -1
            elif direction <= 0 and x[i] >= x[bottom] * (1 + change_):
                pivots.append((bottom, -1))
                start, direction = bottom, 1
            out.append(None if not pivots else {"pivot": x[pivots[-1][0]], "kind": pivots[-1][1], "ago": i - pivots[-1][0]})
        return {k: [None if r is None else r[k] for r in out] for k in ("pivot", "kind", "ago")}

    return f


add(
    "zigzag", "(a: num, change: ratio): (pivot: num, kind: real, ago: int)", "of a; kind +1 high, -1 low; ago in ticks", "first confirmed pivot",
    "first value, no direction", "plain", "rec with decisions",
    "definition, fractions: the last confirmed pivot, the earliest of equal extremes, confirmed when the series has turned by `change` of it; never repaints",
    [(f"zigzag(b.close, {c})", lambda d, c=c: dense([d.close], zigzag(c)), None) for c in (0.015625, 0.0078125)],
)


# ---- Two series, from TA-Lib ------------------------------------------------------------------------------------------
def correl(x, y):
    c, v = covariance(x, y), variance(x) * variance(y)
    return 0 if v == 0 else to_mp(c) / sqrt(v)


def beta_talib(x, y):
    rx = [b / a - 1 for a, b in zip(x, x[1:])]
    ry = [b / a - 1 for a, b in zip(y, y[1:])]
    fit = line_fit(rx, ry)
    return 0 if fit is None else fit[0]


add("correl", "(a: num, c: num, n: int = 30): real", "real", "n", "none", "plain", "welford", "TA-Lib CORREL(timeperiod), evaluated exactly; nothing varies: 0",
    [(f"correl(b.close, bench, {n})", lambda d, n=n: windows(n, correl, d.close, d.bench), n) for n in (30, 6)])
add("beta", "(a: num, c: num, n: int = 5): real", "real", "n + 1", "none", "plain", "welford",
    "TA-Lib BETA(timeperiod): slope of the n simple returns of c on those of a, evaluated exactly; nothing varies: 0. Slope of levels: `std.stat.beta`",
    [(f"beta(b.close, bench, {n})", lambda d, n=n: windows(n + 1, beta_talib, d.close, d.bench), n + 1) for n in (20, 5)])


def log_return(x, k):
    return [None if i < k or x[i] is None or x[i - k] is None else float(ln(Fraction(x[i]) / Fraction(x[i - k]))) for i in range(len(x))]


add("log_return", "(a: num, k: int = 1): ratio", "ratio", "k + 1", "none", "plain", "pure over a ring",
    "ln(a / a[k]) with ticks counted, so absent where either end is; mpmath",
    [(f"log_return(b.close, {k})", lambda d, k=k: log_return(d.close, k), k + 1) for k in (1, 5)])
