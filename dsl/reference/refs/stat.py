"""std.stat: every estimator by its definition over the whole window, in fractions or at 50 digits."""
from fractions import Fraction
import math

import mpmath
import numpy as np
import statsmodels.tsa.stattools as tsa
from statsmodels.tsa.vector_ar.vecm import coint_johansen

from .data import PERIOD_NS
from .exact import covariance, dense, history, line_fit, ln, mean, mpf, named, ratio, sqrt, ta, to_mp, variance, windows, windows_named
from .registry import OPERATORS, Case, op

PERIOD_S = PERIOD_NS // 10**9


def add(name, signature, result, ready, seed, cost, numerics, reference, cases, clock="counting", **more):
    op("std.stat", name, signature, result, clock, ready, seed, cost, numerics, reference, cases, **more)


def over(name, result_ty, result, f, reference, numerics, cost="plain", ns=(20, 5), extra="", call="", ready="n", ready_n=lambda n: n):
    """An estimator of one series over the last n present values."""
    add(
        name, f"(a: num, n: int{extra}): {result_ty}", result, ready, "none", cost, numerics, reference,
        [(f"{name}(b.close, {n}{call})", lambda d, n=n: windows(n, f, d.close), ready_n(n)) for n in ns],
    )


# ---- Moments ---------------------------------------------------------------------------------------------------------
def skew(w):
    n, v = len(w), variance(w)
    m3 = sum((x - mean(w)) ** 3 for x in w) / n
    return None if v == 0 else sqrt(Fraction(n * (n - 1))) / (n - 2) * to_mp(m3) / sqrt(v) ** 3


def kurt(w):
    n, v = len(w), variance(w)
    if v == 0:
        return None
    g2 = sum((x - mean(w)) ** 4 for x in w) / n / v**2 - 3
    return Fraction(n - 1, (n - 2) * (n - 3)) * ((n + 1) * g2 + 6)


over("mean", "num", "of a", mean, "definition, fractions; equals sma", "sum")
over("var", "num^2", "of a, squared", lambda w: variance(w, 1), "definition, fractions: sample variance (n - 1); numpy var(ddof = 1) agrees", "welford")
over("std", "num", "of a", lambda w: sqrt(variance(w, 1)), "definition, fractions: sample deviation (n - 1); numpy std(ddof = 1) agrees", "welford")
over("skew", "real", "real", skew, "adjusted Fisher-Pearson, fractions; scipy.stats.skew(bias = False) agrees; nothing varies: absent", "central moments about a window value")
over("kurt", "real", "real", kurt, "excess, unbiased form, fractions; scipy.stats.kurtosis(bias = False) agrees; nothing varies: absent", "central moments about a window value")


# ---- Exponentially weighted ------------------------------------------------------------------------------------------
def weights(count, halflife):
    """The weight of each of `count` values, oldest first; the first one keeps what is left. They sum to 1."""
    keep = mpmath.power(2, -mpf(1) / halflife)
    return [keep ** (count - 1)] + [(1 - keep) * keep ** (count - 1 - j) for j in range(1, count)]


def ew(halflife, ready, f):
    def g(*xs):
        out = []
        for i in range(len(xs[0])):
            w = weights(i + 1, halflife)
            out.append(None if i + 1 < ready else f(w, *[[mpf(v) for v in x[: i + 1]] for x in xs]))
        return out

    return g


def ew_mean(w, x):
    return sum(a * b for a, b in zip(w, x))


def ew_cov(w, x, y):
    mx, my = ew_mean(w, x), ew_mean(w, y)
    return sum(a * (p - mx) * (q - my) for a, p, q in zip(w, x, y))


def ew_corr(w, x, y):
    v = ew_cov(w, x, x) * ew_cov(w, y, y)
    return None if v == 0 else ew_cov(w, x, y) / mpmath.sqrt(v)


EW = "the first value keeps the remaining weight (adjust = False)"
HALF = "half-life in ticks (int) or time (duration); weight halves per half-life"
for name_, unit_, result_, f_ in (
    ("ewmean", "num", "of a", ew_mean), ("ewvar", "num^2", "of a, squared", lambda w, x: ew_cov(w, x, x)),
    ("ewstd", "num", "of a", lambda w, x: mpmath.sqrt(ew_cov(w, x, x))),
):
    add(
        name_, f"(a: num, halflife: int or duration, ready: int): {unit_}", result_, "`ready`; without it one half-life of ticks", EW, "plain", "rec (West 1979)",
        f"direct weights, mpmath; {HALF}; pandas ewm(halflife, adjust = False).{name_[2:]}" + ("" if name_ == "ewmean" else "(bias = True)") + " agrees",
        [
            (f"{name_}(b.close, halflife: 10, ready: 10)", lambda d, f=f_: dense([d.close], ew(10, 10, f)), 10),
            (f"{name_}(b.close, halflife: 3, ready: 1)", lambda d, f=f_: dense([d.close], ew(3, 1, f)), 1),
        ],
    )
for name_, unit_, result_, f_ in (("ewcov", "num", "a times c", ew_cov), ("ewcorr", "real", "real", ew_corr)):
    add(
        name_, f"(a: num, c: num, halflife: int or duration, ready: int): {unit_}", result_, "`ready`; without it one half-life of ticks", EW, "plain", "rec (West 1979)",
        f"direct weights, mpmath; {HALF}; pandas ewm(halflife, adjust = False).{name_[2:]}(bias = True) agrees" + ("; nothing varies: absent" if name_ == "ewcorr" else ""),
        [(f"{name_}(b.close, bench, halflife: {h}, ready: {h})", lambda d, f=f_, h=h: dense([d.close, d.bench], ew(h, h, f)), h) for h in (10, 3)],
    )


def timed(halflife_s, ready, f):
    """Weights by elapsed time: each value takes 1 - 2^(-dt / halflife) from all before it, dt since the present tick before."""

    def g(d):
        def run(x, at):
            x, keep, out = [mpf(v) for v in x], lambda dt: mpmath.power(2, -mpf(dt) / halflife_s), []
            for i in range(len(x)):
                w = [(1 if j == 0 else 1 - keep(at[j] - at[j - 1])) * keep(at[i] - at[j]) for j in range(i + 1)]
                out.append(None if i + 1 < ready else f(w, x[: i + 1]))
            return out

        return dense([d.close, [(row + 1) * PERIOD_S for row in range(d.rows)]], run)

    return g


EW_FUNCTIONS = {"ewmean": ew_mean, "ewvar": lambda w, x: ew_cov(w, x, x), "ewstd": lambda w, x: mpmath.sqrt(ew_cov(w, x, x))}
for o_ in OPERATORS:
    if o_.name in EW_FUNCTIONS:
        o_.cases.append(Case(f"{o_.name}(b.close, halflife: 8min, ready: 8)", timed(480, 8, EW_FUNCTIONS[o_.name]), 8))


def ewvar_rate(halflife_s, ready):
    """Of the changes between neighbouring rows (an absent row is a gap, and no change crosses it): weights by their own dt."""

    def f(d):
        out, rates = [], []
        for row in range(d.rows):
            x, last = d.close[row], d.close[row - 1] if row else None
            if x is None or last is None:
                out.append(None)
                continue
            rates.append(to_mp((Fraction(x) - Fraction(last)) ** 2 / PERIOD_S))
            w = weights(len(rates), mpf(halflife_s) / PERIOD_S)
            out.append(None if len(rates) < ready else float(ew_mean(w, rates)))
        return out

    return f


add("ewvar_rate", "(a: num, halflife: duration, ready: int): num^2/s", "of a, squared, per second", "`ready` + 1; without it one half-life of ticks", "first squared change per second", "plain", "rec",
    "mean of (change of a)^2 per second over neighbouring ticks; no change crosses an absent tick, and the gap does not age the mean; direct weights, mpmath",
    [(f"ewvar_rate(b.close, halflife: {m}min, ready: {r})", lambda d, m=m, r=r: ewvar_rate(60 * m, r)(d), r + 1) for m, r in ((10, 10), (3, 2))])


# ---- Two series ------------------------------------------------------------------------------------------------------
def corr(x, y):
    v = variance(x) * variance(y)
    return None if v == 0 else to_mp(covariance(x, y)) / sqrt(v)


def ols(y, x):
    fit = line_fit(x, y)
    if fit is None:
        return {"alpha": None, "beta": None, "r2": None, "resid": None}
    beta, alpha = fit
    resid = [b - alpha - beta * a for a, b in zip(x, y)]
    return {"alpha": alpha, "beta": beta, "resid": resid[-1], "r2": None if variance(y) == 0 else 1 - sum(e * e for e in resid) / len(y) / variance(y)}


PAIR = (20, 6)
add("cov", "(a: num, c: num, n: int): num", "a times c", "n", "none", "plain", "welford", "definition, fractions: sample covariance (n - 1); numpy cov agrees",
    [(f"cov(b.close, bench, {n})", lambda d, n=n: windows(n, lambda x, y: covariance(x, y, 1), d.close, d.bench), n) for n in PAIR])
add("corr", "(a: num, c: num, n: int): real", "real", "n", "none", "plain", "welford", "definition, fractions; numpy corrcoef agrees; nothing varies: absent (TA-Lib CORREL says 0: `std.ta.correl`)",
    [(f"corr(b.close, bench, {n})", lambda d, n=n: windows(n, corr, d.close, d.bench), n) for n in PAIR])
add("beta", "(y: num, x: num, n: int): num", "y per x", "n", "none", "plain", "welford", "definition, fractions: cov(y, x) / var(x) of the values given; x does not vary: absent",
    [(f"beta(b.close, bench, {n})", lambda d, n=n: windows(n, lambda y, x: (line_fit(x, y) or [None])[0], d.close, d.bench), n) for n in PAIR])
OLS = ("alpha", "beta", "r2", "resid")
add("rolling_ols", "(y: num, x: num, n: int): (alpha: num, beta: num, r2: real, resid: num)", "y; y per x; real; y", "n", "none", "plain", "welford",
    "definition, fractions; statsmodels RollingOLS agrees; resid is of the newest pair; x does not vary: absent",
    [(f"rolling_ols(b.close, bench, {n})", lambda d, n=n: windows_named(n, OLS, ols, d.close, d.bench), n) for n in PAIR])


def weighted_fit(forget):
    lam = Fraction(forget)

    def f(y, x):
        """Minimises the sum of forget^age * (y - alpha - beta x)^2 over everything so far."""
        w = [lam ** (len(y) - 1 - i) for i in range(len(y))]
        s = sum(w)
        mx, my = sum(a * b for a, b in zip(w, x)) / s, sum(a * b for a, b in zip(w, y)) / s
        beta = ratio(sum(a * (p - mx) * (q - my) for a, p, q in zip(w, x, y)), sum(a * (p - mx) ** 2 for a, p in zip(w, x)))
        return {"alpha": None if beta is None else my - beta * mx, "beta": beta}

    return f


def rls(forget, ready):
    def f(y, x):
        y, x = [Fraction(v) for v in y], [Fraction(v) for v in x]
        fit = weighted_fit(forget)
        rows = [{"alpha": None, "beta": None} if i + 1 < ready else fit(y[: i + 1], x[: i + 1]) for i in range(len(y))]
        return {k: [r[k] for r in rows] for k in ("alpha", "beta")}

    return f


add("rls", "(y: num, x: num, forget: ratio = 0.999, ready: int = 20): (alpha: num, beta: num)", "y; y per x", "`ready`", "none: exact weighted least squares from the first pair", "plain",
    "weighted means and co-moments (West 1979)",
    "definition, fractions: argmin of the sum of forget^age * error^2; no prior matrix, so no unit-bearing constant; statsmodels WLS agrees",
    [
        ("rls(y: b.close, x: bench, forget: 0.96875)", lambda d: dense([d.close, d.bench], rls(0.96875, 20)), 20),
        ("rls(y: b.close, x: bench, forget: 1, ready: 3)", lambda d: dense([d.close, d.bench], rls(1, 3)), 3),
    ])


def kalman_level(q):
    q = Fraction(q)

    def f(x):
        level, p, out = Fraction(x[0]), Fraction(1), [Fraction(x[0])]
        level, p, out = to_mp(level), to_mp(p), [to_mp(out[0])]
        for v in x[1:]:
            p = p + to_mp(q)
            gain = p / (p + 1)
            level, p = level + gain * (mpf(v) - level), p * (1 - gain)
            out.append(level)
        return out

    return f


add("kalman_level", "(a: num, q: ratio): num", "of a", "1", "first value, variance that of one observation", "plain", "rec",
    "local level model, q = state / observation variance; the filter at 50 digits; pykalman KalmanFilter.filter agrees",
    [(f"kalman_level(b.close, {q})", lambda d, q=q: dense([d.close], kalman_level(q)), 1) for q in (0.125, 0.0078125)])


def kalman_hedge(q_alpha, q_beta):
    def f(y, x):
        """State (alpha, beta), a random walk; y = alpha + beta x + noise of variance 1 (all variances in units of it)."""
        rows = []
        for t in range(len(y)):
            yt, xt = mpf(y[t]), mpf(x[t])
            if t == 0:
                a, b, paa, pab, pbb = mpf(0), yt / xt, mpf(1), mpf(0), 1 / xt**2
                rows.append({"alpha": a, "beta": b, "resid": mpf(0)})
                continue
            paa, pbb = paa + mpf(q_alpha), pbb + mpf(q_beta) / mpf(x[0]) ** 2
            e = yt - a - b * xt
            s = paa + 2 * xt * pab + xt * xt * pbb + 1
            ka, kb = (paa + xt * pab) / s, (pab + xt * pbb) / s
            a, b = a + ka * e, b + kb * e
            paa, pab, pbb = paa - ka * ka * s, pab - ka * kb * s, pbb - kb * kb * s
            rows.append({"alpha": a, "beta": b, "resid": e})
        return named(rows)

    return f


add("kalman_hedge", "(y: num, x: num, q_alpha: ratio, q_beta: ratio): (alpha: num, beta: num, resid: num)", "y; y per x; y", "1",
    "alpha 0, beta y/x, variances 1 and 1/x^2 of the first pair", "plain", "rec, Joseph form",
    "random-walk regression, variances as shares of the observation's, that of beta times x_first^2 (a plain number whatever the units); 50 digits; pykalman agrees; resid is the innovation",
    [(f"kalman_hedge(b.close, bench, {p}, {q})", lambda d, p=p, q=q: dense([d.close, d.bench], kalman_hedge(p, q)), 1) for p, q in ((0.0078125, 0.0078125), (0, 0.125))])

# ---- Standing, memory, reversion -------------------------------------------------------------------------------------
over("zscore", "real", "real", lambda w: None if variance(w) == 0 else to_mp(w[-1] - mean(w)) / sqrt(variance(w, 1)),
     "(a - mean) / std of the window that ends now, sample deviation; fractions; scipy.stats.zscore(ddof = 1) agrees; nothing varies: absent", "welford")


def ar1(w):
    """Intercept and slope of a on a[1] over the window, and the mean squared error; None when a[1] does not vary."""
    fit = line_fit(w[:-1], w[1:])
    if fit is None:
        return None
    b, a = fit
    return a, b, sum((y - a - b * x) ** 2 for x, y in zip(w, w[1:])) / (len(w) - 1)


def halflife(w):
    fit = ar1(w)
    return None if fit is None or not 0 < fit[1] < 1 else -mpmath.log(2) / ln(fit[1]) * PERIOD_S


def ou_fit(w):
    fit = ar1(w)
    if fit is None or not 0 < fit[1] < 1:
        return {"mean": None, "speed": None, "sigma": None}
    a, b, mse = fit
    speed = -ln(b) / PERIOD_S
    return {"mean": a / (1 - b), "speed": speed, "sigma": mpmath.sqrt(to_mp(mse) * 2 * speed / to_mp(1 - b * b))}


add("halflife", "(a: num, n: int): duration", "duration", "n", "none", "plain", "welford",
    "-ln 2 / ln(phi) ticks times the period (a must tick on one period), phi the OLS slope of a on a[1]; fractions; 0 < phi < 1 else absent",
    [(f"halflife(noise, {n})", lambda d, n=n: windows(n, halflife, d.noise), None) for n in (40, 15)])
add("ou_fit", "(a: num, n: int): (mean: num, speed: 1/s, sigma: num/s^0.5)", "a; 1/s; a per sqrt(s)", "n", "none", "plain", "welford",
    "exact discretisation, maximum likelihood: phi and the mean squared error of a on a[1]; sigma = sqrt(mse * 2 speed / (1 - phi^2)); fractions; 0 < phi < 1 else absent",
    [(f"ou_fit(noise, {n})", lambda d, n=n: windows_named(n, ("mean", "speed", "sigma"), ou_fit, d.noise), None) for n in (40, 15)])


def var_ratio(k):
    def f(w):
        """Lo & MacKinlay: overlapping k-differences, both variances unbiased."""
        x = [ln(v) for v in w]
        m = len(x) - 1
        mu = (x[-1] - x[0]) / m
        one = sum((x[i] - x[i - 1] - mu) ** 2 for i in range(1, m + 1)) / (m - 1)
        many = sum((x[i] - x[i - k] - k * mu) ** 2 for i in range(k, m + 1)) / (k * (m - k + 1) * (1 - mpf(k) / m))
        return None if one == 0 else many / one

    return f


add("var_ratio", "(a: num, n: int, k: int): real", "real", "n", "none", "plain", "sum",
    "Lo & MacKinlay, Rev. Financial Studies 1 (1988) eqs. 12-13: log differences, overlapping, unbiased; mpmath; arch VarianceRatio agrees; nothing varies: absent",
    [(f"var_ratio(b.close, {n}, {k})", lambda d, n=n, k=k: windows(n, var_ratio(k), d.close), n) for n, k in ((40, 4), (20, 2))])


def autocorr(k):
    def f(w):
        m, v = mean(w), variance(w) * len(w)
        return None if v == 0 else sum((w[i] - m) * (w[i - k] - m) for i in range(k, len(w))) / v

    return f


add("autocorr", "(a: num, n: int, k: int = 1): real", "real", "n", "none", "plain", "welford",
    "definition, fractions: one mean, denominator over all n; statsmodels acf(adjusted = False) agrees; nothing varies: absent",
    [(f"autocorr(noise, {n}, {k})", lambda d, n=n, k=k: windows(n, autocorr(k), d.noise), n) for n, k in ((40, 1), (15, 3))])


# ---- Change detection ------------------------------------------------------------------------------------------------
def cusum(slack, threshold):
    def f(x):
        up = down = Fraction(0)
        rows = []
        for v in map(Fraction, x):
            if rows and rows[-1]["alarm"]:
                up = down = Fraction(0)
            up, down = max(up + v - Fraction(slack), Fraction(0)), max(down - v - Fraction(slack), Fraction(0))
            rows.append({"up": up, "down": down, "alarm": int(up > threshold or down > threshold)})
        return named(rows)

    return f


add("cusum", "(a: num, slack: num, threshold: num): (up: num, down: num, alarm: bool)", "of a; of a; bool", "1", "0; both restart on the tick after an alarm", "plain", "rec",
    "Page, Biometrika 41 (1954), two-sided, a already centred; fractions",
    [(f"cusum(noise, {s}, {t})", lambda d, s=s, t=t: dense([d.noise], cusum(s, t)), 1) for s, t in ((0.125, 4), (0, 2))])


def page_hinkley(slack, threshold):
    def f(x):
        seen, m, least, rows = [], Fraction(0), Fraction(0), []
        for v in map(Fraction, x):
            if rows and rows[-1]["alarm"]:
                seen, m, least = [], Fraction(0), Fraction(0)
            seen.append(v)
            m += v - mean(seen) - Fraction(slack)
            least = min(least, m)
            rows.append({"rise": m - least, "alarm": int(m - least > threshold)})
        return named(rows)

    return f


add("page_hinkley", "(a: num, slack: num, threshold: num): (rise: num, alarm: bool)", "of a; bool", "1", "0; all restarts on the tick after an alarm", "plain", "rec",
    "Page 1954, Hinkley 1971: m += a - mean so far (a included) - slack, rise = m - min(0, m so far); fractions",
    [(f"page_hinkley(noise, {s}, {t})", lambda d, s=s, t=t: dense([d.noise], page_hinkley(s, t)), 1) for s, t in ((0.0625, 4), (0, 2))])


def garch(omega, alpha, beta):
    def f(r):
        w, a, b = mpf(omega), mpf(alpha), mpf(beta)
        out = []
        for i in range(len(r)):
            v = b ** (i + 1) * w / (1 - a - b) + sum(b ** (i - j) * (w + a * mpf(r[j]) ** 2) for j in range(i + 1))
            out.append(v)
        return out

    return f


add("garch11", "(r: num, omega: num^2, alpha: ratio, beta: ratio): num^2", "of r, squared", "1", "omega / (1 - alpha - beta) before the first value", "plain", "rec",
    "Bollerslev 1986: the variance forecast for the next tick, parameters given (fitting is offline); its sum written out, mpmath; arch's garch recursion agrees",
    [(f"garch11(noise, {w}, {a}, {b})", lambda d, w=w, a=a, b=b: dense([d.noise], garch(w, a, b)), 1) for w, a, b in ((0.0625, 0.125, 0.8125), (0.25, 0.25, 0.5))])


def hmm2(mu0, mu1, sd0, sd1, stay0, stay1):
    def f(x):
        """Probability of state 1 given everything so far: the forward recursion at 50 digits, where nothing underflows."""
        leave0, leave1 = 1 - mpf(stay0), 1 - mpf(stay1)
        p0 = leave1 / (leave0 + leave1)
        p1, out = 1 - p0, []
        for v in x:
            d0 = mpmath.exp(-(((mpf(v) - mpf(mu0)) / mpf(sd0)) ** 2) / 2) / mpf(sd0)
            d1 = mpmath.exp(-(((mpf(v) - mpf(mu1)) / mpf(sd1)) ** 2) / 2) / mpf(sd1)
            p0, p1 = p0 * d0, p1 * d1
            p0, p1 = p0 / (p0 + p1), p1 / (p0 + p1)
            out.append(p1)
            p0, p1 = p0 * (1 - leave0) + p1 * leave1, p0 * leave0 + p1 * (1 - leave1)
        return out

    return f


add("hmm2", "(a: num, mean0: num, mean1: num, sd0: num, sd1: num, stay0: ratio, stay1: ratio): real", "real, probability of state 1", "1", "stationary distribution", "plain",
    "rec on log odds (densities underflow)",
    "Hamilton 1989 filter, parameters given; 50 digits; hmmlearn GaussianHMM.predict_proba of each prefix agrees",
    [
        ("hmm2(noise, -0.5, 0.5, 0.5, 1, 0.9375, 0.875)", lambda d: dense([d.noise], hmm2(-0.5, 0.5, 0.5, 1, 0.9375, 0.875)), 1),
        ("hmm2(noise, 0, 0, 0.5, 2, 0.75, 0.75)", lambda d: dense([d.noise], hmm2(0, 0, 0.5, 2, 0.75, 0.75)), 1),
    ])

# ---- Order statistics ------------------------------------------------------------------------------------------------
over("rolling_min", "num", "of a", min, "definition; equals TA-Lib MIN (`std.ta.lowest`); `min(a, b)` stays the pure one", "extremum", cost="w")
over("rolling_max", "num", "of a", max, "definition; equals TA-Lib MAX (`std.ta.highest`)", "extremum", cost="w")


def ago(best):
    return lambda w: min(k for k in range(len(w)) if w[-1 - k] == best(w))


over("argmin", "int", "int, ticks ago", ago(min), "definition: present ticks since the minimum, 0 is now, the latest of equals (as TA-Lib AROON)", "extremum", cost="w")
over("argmax", "int", "int, ticks ago", ago(max), "definition: present ticks since the maximum, 0 is now, the latest of equals", "extremum", cost="w")
over("drawdown", "ratio", "ratio, >= 0", lambda w: ratio(max(w) - w[-1], max(w)), "definition, fractions: 1 - a / highest(a, n)", "extremum", cost="w")


def quantile(q):
    def f(w):
        s, at = sorted(w), Fraction(q) * (len(w) - 1)
        k = math.floor(at)
        return s[k] if k + 1 == len(s) else s[k] + (at - k) * (s[k + 1] - s[k])

    return f


over("median", "num", "of a", quantile(0.5), "definition, fractions; numpy median agrees", "order tree", cost="l", ns=(20, 5))
add("quantile", "(a: num, n: int, q: ratio): num", "of a", "n", "none", "l", "order tree",
    "definition, fractions: linear between order statistics (type 7); numpy quantile agrees; TA-Lib PERCENTILE is the nearest rank",
    [(f"quantile(b.close, {n}, {q})", lambda d, n=n, q=q: windows(n, quantile(q), d.close), n) for n, q in ((20, 0.25), (7, 0.875))])
add("percent_rank", "(a: num, n: int = 100): real", "real, percent", "n + 1", "none", "l", "order tree",
    "TA-Lib PERCENTRANK(timeperiod): share of the n values before this one that are below it, times 100",
    [(f"percent_rank(b.close, {n})", lambda d, n=n: ta("PERCENTRANK", d.close, timeperiod=n), n + 1) for n in (20, 5)])


def p2(q):
    """Jain & Chlamtac, CACM 28 (1985), box 1: five markers, parabolic prediction, linear where that leaves the order."""

    def f(x):
        p, heights, out = Fraction(q), [], []
        for count, v in enumerate(map(Fraction, x), 1):
            if count <= 5:
                heights = sorted([*heights, v])
                pos = [1, 2, 3, 4, 5]
                out.append(heights[2] if count == 5 else None)
                continue
            if v < heights[0]:
                heights[0], cell = v, 0
            elif v >= heights[4]:
                heights[4], cell = v, 3
            else:
                cell = max(k for k in range(4) if heights[k] <= v)
            pos = [n + 1 if k > cell else n for k, n in enumerate(pos)]
            want = [1 + (count - 1) * share for share in (0, p / 2, p, (1 + p) / 2, 1)]
            for k in (1, 2, 3):
                gap = want[k] - pos[k]
                if (gap >= 1 and pos[k + 1] - pos[k] > 1) or (gap <= -1 and pos[k - 1] - pos[k] < -1):
                    s = 1 if gap > 0 else -1
                    lo, hi = pos[k] - pos[k - 1], pos[k + 1] - pos[k]
                    h = heights[k] + Fraction(s, pos[k + 1] - pos[k - 1]) * (
                        (lo + s) * (heights[k + 1] - heights[k]) / hi + (hi - s) * (heights[k] - heights[k - 1]) / lo
                    )
                    if not heights[k - 1] < h < heights[k + 1]:
                        h = heights[k] + s * (heights[k + s] - heights[k]) / (pos[k + s] - pos[k])
                    heights[k], pos[k] = h, pos[k] + s
            # Exact while it lasts; rounded to 200 bits so that fractions do not grow without end.
            heights = [Fraction(round(h * 2**200), 2**200) for h in heights]
            out.append(heights[2])
        return out

    return f


add("p2_quantile", "(a: num, q: ratio): num", "of a", "5", "the first five values, sorted", "plain", "rec with decisions",
    "Jain & Chlamtac, CACM 28 (1985), box 1; of everything so far, no window; fractions",
    [(f"p2_quantile(b.close, {q})", lambda d, q=q: dense([d.close], p2(q)), 5) for q in (0.5, 0.875)])
over("mad", "num", "of a", lambda w: quantile(0.5)([abs(v - quantile(0.5)(w)) for v in w]),
     "definition, fractions: median of |a - median|, no scaling; scipy.stats.median_abs_deviation agrees", "direct over the window", cost="W")


def fracdiff(order, n):
    w = [Fraction(1)]
    for k in range(1, n):
        w.append(-w[-1] * (Fraction(order) - k + 1) / k)
    return lambda x: sum(a * b for a, b in zip(w, reversed(x)))


add("fracdiff", "(a: num, d: ratio, n: int): num", "of a", "n", "none", "W", "direct over the window",
    "Lopez de Prado, Advances in Financial Machine Learning (2018) 5.4: fixed window of n weights of (1 - L)^d; fractions",
    [(f"fracdiff(b.close, {q}, {n})", lambda d, q=q, n=n: windows(n, fracdiff(q, n), d.close), n) for q, n in ((0.375, 30), (0.75, 8))])


def savgol(degree):
    def f(w):
        """The least-squares polynomial of the window at its newest value, by the normal equations."""
        n, m = len(w), degree + 1
        t = [Fraction(i - n + 1) for i in range(n)]
        a = [[sum(v ** (r + c) for v in t) for c in range(m)] + [sum(y * v**r for y, v in zip(w, t))] for r in range(m)]
        for c in range(m):
            pivot = next(r for r in range(c, m) if a[r][c] != 0)
            a[c], a[pivot] = a[pivot], a[c]
            a[c] = [v / a[c][c] for v in a[c]]
            for r in range(m):
                if r != c:
                    a[r] = [p - a[r][c] * q for p, q in zip(a[r], a[c])]
        return a[0][m]

    return f


add("savgol", "(a: num, n: int, degree: int = 2): num", "of a", "n", "none", "W", "fixed weights over the window",
    "Savitzky & Golay 1964 at the newest value (causal): fractions; scipy.signal.savgol_coeffs(n, degree, pos = n - 1) agrees",
    [(f"savgol(b.close, {n}, {k})", lambda d, n=n, k=k: windows(n, savgol(k), d.close), n) for n, k in ((11, 2), (7, 3))])


# ---- On a side thread ------------------------------------------------------------------------------------------------
def hurst(w):
    x = [ln(v) for v in w]
    points = []
    for k in (1, 2, 4, 8, 16):
        m = sum((x[i] - x[i - k]) ** 2 for i in range(k, len(x))) / (len(x) - k)
        if m == 0:
            return None
        points.append((mpmath.log(k), mpmath.log(m) / 2))
    mx, my = sum(p[0] for p in points) / 5, sum(p[1] for p in points) / 5
    return sum((p[0] - mx) * (p[1] - my) for p in points) / sum((p[0] - mx) ** 2 for p in points)


add("hurst", "(a: num, n: int): real", "real", "n", "none", "B", "batch",
    "slope of ln root mean square of ln a's k-differences on ln k, k = 1 2 4 8 16 (generalised Hurst exponent of order 2, Di Matteo 2007); mpmath; one of them 0: absent",
    [(f"hurst(b.close, {n})", lambda d, n=n: windows(n, hurst, d.close), n) for n in (64, 32)])


def guarded(f):
    def g(*w):
        # These statistics do not change when a series is shifted; statsmodels loses digits on a level of 1e8.
        w = [np.array([float(v - s[0]) for v in s]) for s in w]
        return None if any(np.ptp(v) == 0 for v in w) else f(*w)

    return g


BATCH = "statsmodels on the window less its first value; flat input: absent"
add("adf", "(a: num, n: int, lags: int = 1): real", "real", "n", "none", "B", "batch QR",
    f"adfuller(maxlag = lags, autolag = None, regression = 'c') statistic, {BATCH}",
    [(f"adf(b.close, {n}, {k})", lambda d, n=n, k=k: windows(n, guarded(lambda w: tsa.adfuller(w, maxlag=k, autolag=None, result_object=False)[0]), d.close), n) for n, k in ((60, 1), (40, 3))])
add("coint_eg", "(y: num, x: num, n: int, lags: int = 1): real", "real", "n", "none", "B", "batch QR",
    f"coint(trend = 'c', maxlag = lags, autolag = None) statistic, {BATCH}",
    [(f"coint_eg(b.close, bench, {n}, {k})", lambda d, n=n, k=k: windows(n, guarded(lambda y, x: tsa.coint(y, x, maxlag=k, autolag=None)[0]), d.close, d.bench), n) for n, k in ((60, 1),)])


def johansen(lags):
    def f(y, x):
        r = coint_johansen(np.column_stack([y, x]), 0, lags)
        return r.lr1

    return f


def johansen_rows(n, lags, d, k):
    return windows(n, guarded(lambda y, x: johansen(lags)(y, x)[k]), d.close, d.bench)


add("johansen", "(y: num, x: num, n: int, lags: int = 1): (trace0: real, trace1: real)", "real", "n", "none", "B", "batch eigenvalues",
    f"coint_johansen(det_order = 0, k_ar_diff = lags) trace statistics for rank 0 and 1, {BATCH}",
    [("johansen(b.close, bench, 60, 1)", lambda d: {"trace0": johansen_rows(60, 1, d, 0), "trace1": johansen_rows(60, 1, d, 1)}, 60)])
