"""Second opinions: for every operator that two independent sources have, the other source on the same inputs.

`PAIRS` holds (module.name, case index, result, function of a data set, sets). The golden values must agree with it within the
tolerance of the column.
"""
from fractions import Fraction
import math
import warnings

import arch.unitroot
from arch.univariate.recursions_python import garch_recursion_python
import hmmlearn.hmm
import numpy as np
import pandas as pd
import pykalman
import scipy.signal
import scipy.stats
import statsmodels.api as sm
from statsmodels.regression.rolling import RollingOLS
import statsmodels.tsa.stattools as tsa
import ta as ta_package

from .exact import dense, ta, windows
from . import hilbert, micro
from . import recursions as rec

ORDINARY = ("walk", "gap")
ALL = ("walk", "flat", "spike", "gap", "offset")
PAIRS = []


def pair(name, case, f, result="", sets=ORDINARY):
    PAIRS.append((name, case, result, f, sets))


def arrays(f):
    """Wraps a function of float arrays that returns an array, NaN where absent."""
    return lambda *xs: list(f(*[np.array(x, dtype=float) for x in xs]))


def rolled(n, f):
    return lambda d: windows(n, lambda w: f(np.array(w)), d.close, exact=False)


def rolled2(n, f):
    return lambda d: windows(n, lambda x, y: f(np.array(x), np.array(y)), d.close, d.bench, exact=False)


# TA-Lib against the exact values of its own definitions.
for name, case, function, parameters, result in (
    ("var", 0, "VAR", dict(timeperiod=20), None), ("stddev", 0, "STDDEV", dict(timeperiod=20), None), ("stddev", 1, "STDDEV", dict(timeperiod=5, nbdev=2.0), None),
    ("linearreg", 0, "LINEARREG", dict(timeperiod=14), None), ("linearreg_slope", 0, "LINEARREG_SLOPE", dict(timeperiod=14), None),
    ("linearreg_intercept", 0, "LINEARREG_INTERCEPT", dict(timeperiod=14), None), ("linearreg_angle", 1, "LINEARREG_ANGLE", dict(timeperiod=5), None),
    ("tsf", 0, "TSF", dict(timeperiod=14), None),
):
    pair(f"std.ta.{name}", case, lambda d, f=function, p=parameters: ta(f, d.close, **p), sets=ALL if case == 0 else ORDINARY)
for name, function, n in (("correl", "CORREL", 30), ("beta", "BETA", 20)):
    pair(f"std.ta.{name}", 0, lambda d, f=function, n=n: ta(f, d.close, d.bench, timeperiod=n), sets=ALL)
for k, result in enumerate(("upper", "middle", "lower")):
    pair("std.ta.bbands", 0, lambda d, k=k: ta("BBANDS", d.close, timeperiod=20, nbdevup=2.0, nbdevdn=2.0, results=("0", "1", "2"))[str(k)], result, ALL)
for name, function in (("mean", "SMA"), ("rolling_min", "MIN"), ("rolling_max", "MAX")):
    pair(f"std.stat.{name}", 0, lambda d, f=function: ta(f, d.close, timeperiod=20), sets=ALL)


# Definitions against TA-Lib's answers: the recursions written out at the length of a paragraph.
def smma(x, n):
    out = [None] * len(x)
    if len(x) >= n:
        out[n - 1] = sum(x[:n]) / n
        for i in range(n, len(x)):
            out[i] = (out[i - 1] * (n - 1) + x[i]) / n
    return out


def ema(x, n, start=0):
    out = [None] * len(x)
    if len(x) >= start + n:
        out[start + n - 1] = sum(x[start : start + n]) / n
        for i in range(start + n, len(x)):
            out[i] = out[i - 1] + (x[i] - out[i - 1]) * 2 / (n + 1)
    return out


def shifted(values, k):
    return [None] * k + values


def rsi(n):
    def f(x):
        up = smma([max(b - a, 0) for a, b in zip(x, x[1:])], n)
        down = smma([max(a - b, 0) for a, b in zip(x, x[1:])], n)
        return shifted([None if u is None else 0 if u + v == 0 else 100 * u / (u + v) for u, v in zip(up, down)], 1)

    return f


def true_range(h, l, c):
    return [max(h[i], c[i - 1]) - min(l[i], c[i - 1]) for i in range(1, len(h))]


def atr(n):
    return lambda h, l, c: shifted(smma(true_range(h, l, c), n), 1)


def stoch_k(n):
    def f(h, l, c):
        out = []
        for i in range(len(h)):
            if i + 1 < n:
                out.append(None)
                continue
            top, low = max(h[i + 1 - n : i + 1]), min(l[i + 1 - n : i + 1])
            out.append(0 if top == low else 100 * (c[i] - low) / (top - low))
        return out

    return f


def smooth(values, n):
    return [None if i + 1 < n or None in values[i + 1 - n : i + 1] else sum(values[i + 1 - n : i + 1]) / n for i in range(len(values))]


def macd(fast, slow, signal):
    def f(x):
        a, b = ema(x, fast, slow - fast), ema(x, slow)
        line = [None if q is None else p - q for p, q in zip(a, b)]
        sig = shifted(ema(line[slow - 1 :], signal), slow - 1)
        return [None if s is None else p - s for p, s in zip(line, sig)]

    return f


def cci(n):
    def f(h, l, c):
        t = [(a + b + e) / 3 for a, b, e in zip(h, l, c)]
        out = []
        for i in range(len(t)):
            w = t[i + 1 - n : i + 1] if i + 1 >= n else None
            if w is None:
                out.append(None)
                continue
            m = sum(w) / n
            dev = sum(abs(v - m) for v in w) / n
            out.append(0 if dev == 0 or w[-1] == m else (w[-1] - m) / (0.015 * dev))
        return out

    return f


def money_flow(n):
    def f(h, l, c, v):
        t = [(a + b + e) / 3 for a, b, e in zip(h, l, c)]
        up = [t[i] * v[i] if t[i] > t[i - 1] else 0 for i in range(1, len(t))]
        down = [t[i] * v[i] if t[i] < t[i - 1] else 0 for i in range(1, len(t))]
        total = lambda x, i: sum(x[i + 1 - n : i + 1])
        return shifted([None if i + 1 < n else 0 if total(up, i) + total(down, i) < 1 else 100 * total(up, i) / (total(up, i) + total(down, i)) for i in range(len(up))], 1)

    return f


def weighted_average(n):
    return lambda w: float(np.dot(np.arange(1, n + 1), w) / (n * (n + 1) / 2))


def accumulate(h, l, c, v):
    out, total = [], 0.0
    for a, b, e, q in zip(h, l, c, v):
        total += 0 if a == b else ((e - b) - (a - e)) / (a - b) * q
        out.append(total)
    return out


def on_balance(c, v):
    out = [v[0]]
    for i in range(1, len(c)):
        out.append(out[-1] + (v[i] if c[i] > c[i - 1] else -v[i] if c[i] < c[i - 1] else 0))
    return out


def hlc(f):
    return lambda d: dense([d.high, d.low, d.close], f)


pair("std.ta.sma", 0, rolled(20, np.mean), sets=ALL)
pair("std.ta.wma", 0, rolled(20, weighted_average(20)), sets=ALL)
pair("std.ta.ema", 0, lambda d: dense([d.close], lambda x: ema(x, 20)), sets=ALL)
pair("std.ta.ema", 2, lambda d: dense([d.close], arrays(lambda x: pd.Series(x).ewm(span=10, adjust=False, min_periods=10).mean())))
pair("std.ta.rma", 0, lambda d: dense([d.close], lambda x: smma(x, 14)), sets=ALL)
pair("std.ta.rsi", 0, lambda d: dense([d.close], rsi(14)), sets=ALL)
pair("std.ta.atr", 0, hlc(atr(14)), sets=ALL)
pair("std.ta.stoch", 0, hlc(lambda *x: smooth(smooth(stoch_k(5)(*x), 3), 3)), "d", sets=ALL)
pair("std.ta.stochf", 0, hlc(lambda *x: smooth(stoch_k(5)(*x), 3)), "d", sets=ALL)
pair("std.ta.macd", 0, lambda d: dense([d.close], macd(12, 26, 9)), "hist", sets=ALL)
pair("std.ta.cci", 0, hlc(cci(14)), sets=ALL)
pair("std.ta.mfi", 0, lambda d: dense([d.high, d.low, d.close, d.volume], money_flow(14)), sets=ALL)
pair("std.ta.ad", 0, lambda d: dense([d.high, d.low, d.close, d.volume], accumulate), sets=ALL)
pair("std.ta.obv", 0, lambda d: dense([d.close, d.volume], on_balance), sets=ALL)


def by(f, *columns, part=None, **parameters):
    """A recursion on the present rows of the columns named."""

    def g(*xs):
        out = f(*xs, *parameters.values())
        return out if part is None else out[part]

    return lambda d: dense([getattr(d, c) for c in columns], g)


HLC, HLCV = ("high", "low", "close"), ("high", "low", "close", "volume")
C = ("close",)
for name, f, columns, parameters in (
    ("dema", rec.dema, C, dict(n=10)), ("tema", rec.tema, C, dict(n=10)), ("t3", rec.t3, C, dict(n=5, v=0.7)), ("trima", rec.trima, C, dict(n=20)),
    ("kama", rec.kama, C, dict(n=10)), ("hma", rec.hma, C, dict(n=16)), ("zlema", rec.zlema, C, dict(n=10)), ("vwma", rec.vwma, ("close", "volume"), dict(n=20)),
    ("vwap", rec.vwap, HLCV, {}), ("sar", rec.sar, ("high", "low"), dict(step=0.02, most=0.2)), ("ppo", rec.ppo, C, dict(fast=12, slow=26)),
    ("cmo", rec.cmo, C, dict(n=14)), ("trix", rec.trix, C, dict(n=10)), ("tsi", rec.tsi, C, dict(first=25, second=13)),
    ("coppock", rec.coppock, C, dict(smooth=10, r1=11, r2=14)), ("adosc", rec.adosc, HLCV, dict(fast=3, slow=10)),
    ("efi", rec.efi, ("close", "volume"), dict(n=13)), ("vpt", rec.vpt, ("close", "volume"), {}), ("nvi", rec.nvi, ("close", "volume"), {}),
    ("bop", rec.bop, ("open", *HLC), {}),
):
    pair(f"std.ta.{name}", 0, by(f, *columns, **parameters), sets=ALL)
pair("std.ta.trima", 1, by(rec.trima, "close", n=5))
pair("std.ta.keltner", 0, by(rec.keltner, *HLC, n=20, atr_n=10, width=2), "upper", ALL)
pair("std.ta.keltner", 1, by(rec.keltner, *HLC, n=8, atr_n=12, width=1.5), "upper")
pair("std.ta.macdfix", 0, by(rec.macdfix, "close", smooth=9), "hist", ALL)
pair("std.ta.stochrsi", 0, by(rec.stochrsi, "close", n=14, fast_k=5, fast_d=3), "d", ALL)
for result in ("line", "trend"):
    pair("std.ta.supertrend", 0, by(rec.supertrend, *HLC, part=result, n=10, width=3), result, ALL)
    pair("std.ta.supertrend", 1, by(rec.supertrend, *HLC, part=result, n=7, width=1), result)
for name in ("plus_di", "minus_di", "dx", "adx", "adxr"):
    pair(f"std.ta.{name}", 0, by(rec.directional, *HLC, part=name, n=14), sets=ALL)
for result in ("open", "high", "low", "close"):
    pair("std.ta.heikin_ashi", 0, by(rec.heikin_ashi, "open", *HLC, part=result), result, ALL)


for result in ("mama", "fama"):
    pair("std.ta.mama", 0, by(hilbert.mama, "close", part=result, fast=0.5, slow=0.05), result)
    pair("std.ta.mama", 1, by(hilbert.mama, "close", part=result, fast=0.4, slow=0.1), result)
for name, f, results in (
    ("dcperiod", hilbert.dcperiod, ("",)), ("dcphase", hilbert.dcphase, ("",)), ("phasor", hilbert.phasor, ("inphase", "quadrature")),
    ("sine", hilbert.sine, ("sine", "lead")), ("trendline", hilbert.trendline, ("",)), ("trendmode", hilbert.trendmode, ("",)),
):
    for result in results:
        pair(f"std.ta.ht_{name}", 0, by(f, "close", part=result or None), result, ALL)


def extreme_ago(n, high):
    """Aroon of one side: 100 (n - bars since the extreme of n + 1 bars) / n, the latest of equals."""

    def f(x):
        out = []
        for i in range(len(x)):
            w = x[i - n : i + 1] if i >= n else None
            best = None if w is None else max(w) if high else min(w)
            out.append(None if w is None else 100 * (n - w[::-1].index(best)) / n)
        return out

    return f


pair("std.ta.aroon", 0, lambda d: dense([d.high, d.low], lambda h, l: extreme_ago(14, True)(h)), "up", sets=ALL)
pair("std.ta.aroon", 0, lambda d: dense([d.high, d.low], lambda h, l: extreme_ago(14, False)(l)), "down", sets=ALL)


# ---- The `ta` package ------------------------------------------------------------------------------------------------
def pandas_of(f, *columns):
    """`f` of pandas series of the present rows."""

    def g(*xs):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return list(f(*[pd.Series(x, dtype=float) for x in xs]))

    return dense(columns, g)


for result, method in (("conversion", "conversion_line"), ("base", "base_line"), ("span_a", "a"), ("span_b", "b")):
    pair("std.ta.ichimoku", 0, lambda d, m=method: pandas_of(
        lambda h, l: getattr(ta_package.trend.IchimokuIndicator(h, l), f"ichimoku_{m}")(), d.high, d.low), result, sets=ALL)
pair("std.ta.kst", 0, lambda d: pandas_of(lambda c: ta_package.trend.KSTIndicator(c).kst(), d.close), "line")
pair("std.ta.kst", 0, lambda d: pandas_of(lambda c: ta_package.trend.KSTIndicator(c).kst_sig(), d.close), "sig")
pair("std.ta.willr", 0, lambda d: pandas_of(lambda h, l, c: ta_package.momentum.WilliamsRIndicator(h, l, c, 14).williams_r(), d.high, d.low, d.close))
pair("std.ta.roc", 0, lambda d: pandas_of(lambda c: ta_package.momentum.ROCIndicator(c, 10).roc(), d.close))
pair("std.ta.cmf", 0, lambda d: pandas_of(lambda h, l, c, v: ta_package.volume.ChaikinMoneyFlowIndicator(h, l, c, v, 20).chaikin_money_flow(), d.high, d.low, d.close, d.volume))
pair("std.ta.donchian", 0, lambda d: pandas_of(lambda h, l: ta_package.volatility.DonchianChannel(h, l, h, 20).donchian_channel_hband(), d.high, d.low), "upper")
pair("std.ta.ultosc", 0, lambda d: pandas_of(lambda h, l, c: ta_package.momentum.UltimateOscillator(h, l, c).ultimate_oscillator(), d.high, d.low, d.close))

# ---- pandas, numpy, scipy --------------------------------------------------------------------------------------------
pair("std.stat.var", 0, rolled(20, lambda w: np.var(w, ddof=1)), sets=ALL)
pair("std.stat.std", 0, rolled(20, lambda w: np.std(w, ddof=1)), sets=ALL)
pair("std.stat.skew", 0, rolled(20, lambda w: scipy.stats.skew(w, bias=False)), sets=ORDINARY + ("spike",))
pair("std.stat.kurt", 0, rolled(20, lambda w: scipy.stats.kurtosis(w, bias=False)), sets=ORDINARY + ("spike",))
for name in ("mean", "var", "std"):
    kwargs = {} if name == "mean" else {"bias": True}
    for case, (h, ready) in enumerate(((10, 10), (3, 1))):
        pair(f"std.stat.ew{name}", case, lambda d, n=name, h=h, r=ready, k=kwargs: pandas_of(
            lambda x: getattr(x.ewm(halflife=h, adjust=False, min_periods=r), n)(**k).where(x.index >= r - 1), d.close))
for name in ("cov", "corr"):
    pair(f"std.stat.ew{name}", 0, lambda d, n=name: pandas_of(
        lambda x, y: getattr(x.ewm(halflife=10, adjust=False, min_periods=10), n)(y, **({"bias": True} if n == "cov" else {})), d.close, d.bench))
pair("std.stat.cov", 0, rolled2(20, lambda x, y: np.cov(x, y)[0, 1]), sets=ALL)
pair("std.stat.corr", 0, rolled2(20, lambda x, y: np.corrcoef(x, y)[0, 1]), sets=ORDINARY + ("spike",))
pair("std.stat.beta", 0, rolled2(20, lambda y, x: scipy.stats.linregress(x, y).slope), sets=ORDINARY + ("spike",))
pair("std.stat.zscore", 0, rolled(20, lambda w: scipy.stats.zscore(w, ddof=1)[-1]), sets=ORDINARY + ("spike", "offset"))
pair("std.stat.median", 0, rolled(20, np.median), sets=ALL)
pair("std.stat.quantile", 0, rolled(20, lambda w: np.quantile(w, 0.25)), sets=ALL)
pair("std.stat.quantile", 1, rolled(7, lambda w: np.quantile(w, 0.875)))
pair("std.stat.mad", 0, rolled(20, scipy.stats.median_abs_deviation), sets=ALL)
pair("std.stat.percent_rank", 0, rolled(21, lambda w: 100 * np.mean(w[:-1] < w[-1])), sets=ALL)
for case, (n, degree) in enumerate(((11, 2), (7, 3))):
    pair("std.stat.savgol", case, rolled(n, lambda w, n=n, k=degree: np.dot(scipy.signal.savgol_coeffs(n, k, pos=n - 1, use="dot"), w)))


def poisson(b):
    need = math.floor(b.bids[0][1] / Fraction("0.25")) + 1
    return scipy.stats.poisson.sf(need - 1, 6)


pair("std.micro.fill_prob", 0, micro.level(poisson), sets=ALL)


# ---- statsmodels, arch, pykalman, hmmlearn ---------------------------------------------------------------------------
def rolling_ols(part):
    def f(y, x):
        r = RollingOLS(np.array(y), sm.add_constant(np.array(x)), window=20).fit()
        return list({"alpha": r.params[:, 0], "beta": r.params[:, 1], "r2": r.rsquared}[part])

    return lambda d: dense([d.close, d.bench], f)


for result in ("alpha", "beta", "r2"):
    pair("std.stat.rolling_ols", 0, rolling_ols(result), result)


def wls(part, forget, ready):
    def f(y, x):
        y, x = np.array(y), sm.add_constant(np.array(x), has_constant="add")
        rows = [None if i + 1 < ready else sm.WLS(y[: i + 1], x[: i + 1], weights=forget ** np.arange(i, -1, -1.0)).fit().params[part] for i in range(len(y))]
        return rows

    return lambda d: dense([d.close, d.bench], f)


for case, forget, ready in ((0, 0.96875, 20), (1, 1.0, 3)):
    for part, result in enumerate(("alpha", "beta")):
        pair("std.stat.rls", case, wls(part, forget, ready), result)
pair("std.stat.autocorr", 0, lambda d: windows(40, lambda w: tsa.acf(np.array(w), nlags=1, fft=False)[1], d.noise, exact=False))
pair("std.stat.autocorr", 1, lambda d: windows(15, lambda w: tsa.acf(np.array(w), nlags=3, fft=False)[3], d.noise, exact=False))
for case, (n, k) in enumerate(((40, 4), (20, 2))):
    pair("std.stat.var_ratio", case, rolled(n, lambda w, k=k: arch.unitroot.VarianceRatio(np.log(w), lags=k, trend="c", debiased=True, overlap=True).vr))


def kalman_level(x):
    """From the second value on: the first one is the state, its variance one observation's."""
    k = pykalman.KalmanFilter(
        transition_matrices=[1], observation_matrices=[1], transition_covariance=[[0.125]], observation_covariance=[[1]],
        initial_state_mean=[x[0]], initial_state_covariance=[[1.125]],
    )
    return [x[0], *np.asarray(k.filter(np.array(x[1:]))[0])[:, 0]]


pair("std.stat.kalman_level", 0, lambda d: dense([d.close], kalman_level), sets=ALL)


def kalman_hedge(part):
    def f(y, x):
        q = 0.0078125
        cov = np.diag([q, q / x[0] ** 2])
        k = pykalman.KalmanFilter(
            transition_matrices=np.eye(2), observation_matrices=np.array([[[1.0, v]] for v in x[1:]]), transition_covariance=cov, observation_covariance=[[1]],
            initial_state_mean=[0, y[0] / x[0]], initial_state_covariance=np.diag([1, 1 / x[0] ** 2]) + cov,
        )
        states = np.asarray(k.filter(np.array(y[1:]))[0])
        return [[0.0, y[0] / x[0]][part], *states[:, part]]

    return lambda d: dense([d.close, d.bench], f)


for part, result in enumerate(("alpha", "beta")):
    pair("std.stat.kalman_hedge", 0, kalman_hedge(part), result)


def garch(r):
    """arch's own recursion; its value before the first return is the unconditional variance, as ours."""
    w, a, b = 0.0625, 0.125, 0.8125
    r = np.array([*r, 0.0])
    sigma2 = np.zeros(len(r))
    bounds = np.tile([0.0, 1e30], (len(r), 1))
    garch_recursion_python(np.array([w, a, b]), r**2, np.sign(r), sigma2, 1, 0, 1, len(r), w / (1 - a - b), bounds)
    return list(sigma2[1:])


pair("std.stat.garch11", 0, lambda d: dense([d.noise], garch), sets=ORDINARY + ("flat",))


def hidden(x):
    m = hmmlearn.hmm.GaussianHMM(2, covariance_type="diag")
    m.startprob_ = np.array([0.125, 0.0625]) / 0.1875
    m.transmat_ = np.array([[0.9375, 0.0625], [0.125, 0.875]])
    m.means_, m.covars_ = np.array([[-0.5], [0.5]]), np.array([[0.25], [1.0]])
    return [m.predict_proba(np.array(x[: i + 1]).reshape(-1, 1))[-1, 1] for i in range(len(x))]


pair("std.stat.hmm2", 0, lambda d: dense([d.noise], hidden))
