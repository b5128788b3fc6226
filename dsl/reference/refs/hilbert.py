"""Ehlers' cycle functions as TA-Lib computes them, start-up transient included (Rocket Science for Traders, 2001).

Everything before the first `start` ticks is zero: that, and not a choice of ours, makes the first outputs what they are.
"""
import math

A, B = 0.0962, 0.5769
DEGREES = 180 / math.pi


def cycle(x, start):
    """One dict per tick from `start` (counted from 0) on: the price smoothed over 4, I1, Q1, the period and the smooth period."""
    smooth = [0.0] * len(x)
    detrended, q1s, i1s = [0.0] * len(x), [0.0] * len(x), [0.0] * len(x)
    period = smooth_period = re = im = last_i2 = last_q2 = 0.0
    out = []
    at = lambda s, i: s[i] if i >= 0 else 0.0
    for i in range(start, len(x)):
        adjust = 0.075 * period + 0.54

        def transform(s):
            return (A * at(s, i) + B * at(s, i - 2) - B * at(s, i - 4) - A * at(s, i - 6)) * adjust

        smooth[i] = (4 * x[i] + 3 * x[i - 1] + 2 * x[i - 2] + x[i - 3]) / 10
        detrended[i] = transform(smooth)
        q1s[i] = transform(detrended)
        i1s[i] = at(detrended, i - 3)
        q2 = 0.2 * (q1s[i] + transform(i1s)) + 0.8 * last_q2
        i2 = 0.2 * (i1s[i] - transform(q1s)) + 0.8 * last_i2
        re = 0.2 * (i2 * last_i2 + q2 * last_q2) + 0.8 * re
        im = 0.2 * (i2 * last_q2 - q2 * last_i2) + 0.8 * im
        last_i2, last_q2 = i2, q2
        before = period
        if im != 0 and re != 0:
            period = 360 / (math.atan(im / re) * DEGREES)
        period = max(min(period, 1.5 * before), 0.67 * before)
        period = 0.2 * max(min(period, 50), 6) + 0.8 * before
        smooth_period = 0.33 * period + 0.67 * smooth_period
        out.append({"i": i, "smooth": smooth[i], "i1": i1s[i], "q1": q1s[i], "period": period, "smooth_period": smooth_period})
    return out


def placed(x, rows, first, f):
    """f(row) at ticks from `first` on."""
    out = [None] * len(x)
    for row in rows:
        value = f(row)
        if row["i"] >= first:
            out[row["i"]] = value
    return out


def dcperiod(x):
    return placed(x, cycle(x, 12), 32, lambda r: r["smooth_period"])


def phasor(x):
    rows = cycle(x, 12)
    return {"inphase": placed(x, rows, 32, lambda r: r["i1"]), "quadrature": placed(x, rows, 32, lambda r: r["q1"])}


def phases(x):
    """The dominant cycle's phase: a discrete transform of the smoothed price at the period of the moment."""
    rows, phase = cycle(x, 37), 0.0
    smooth = {r["i"]: r["smooth"] for r in rows}
    for r in rows:
        n = int(r["smooth_period"] + 0.5)
        real = sum(math.sin(k * 2 * math.pi / n) * smooth.get(r["i"] - k, 0.0) for k in range(n))
        imag = sum(math.cos(k * 2 * math.pi / n) * smooth.get(r["i"] - k, 0.0) for k in range(n))
        if abs(imag) > 0:
            phase = math.atan(real / imag) * DEGREES
        elif real != 0:
            phase += 90 if real > 0 else -90
        phase += 90 + (360 / r["smooth_period"] if r["smooth_period"] else 0)
        phase += 180 if imag < 0 else 0
        phase -= 360 if phase > 315 else 0
        r["phase"] = phase
    return rows


def dcphase(x):
    return placed(x, phases(x), 63, lambda r: r["phase"])


def sine(x):
    rows = phases(x)
    return {
        "sine": placed(x, rows, 63, lambda r: math.sin(r["phase"] / DEGREES)),
        "lead": placed(x, rows, 63, lambda r: math.sin((r["phase"] + 45) / DEGREES)),
    }


def trendlines(x):
    rows, past = phases(x), [0.0, 0.0, 0.0]
    for r in rows:
        n = int(r["smooth_period"] + 0.5)
        now = sum(x[r["i"] - k] for k in range(n)) / n if n > 0 else 0.0
        r["line"] = (4 * now + 3 * past[0] + 2 * past[1] + past[2]) / 10
        past = [now, *past[:2]]
    return rows


def trendline(x):
    return placed(x, trendlines(x), 63, lambda r: r["line"])


def trendmode(x):
    days, last_sine, last_lead, last_phase = 0, 0.0, 0.0, 0.0
    rows = trendlines(x)
    for r in rows:
        s, lead = math.sin(r["phase"] / DEGREES), math.sin((r["phase"] + 45) / DEGREES)
        trend = 1
        if (s > lead and last_sine <= last_lead) or (s < lead and last_sine >= last_lead):
            days, trend = 0, 0
        days += 1
        if days < 0.5 * r["smooth_period"]:
            trend = 0
        turn = r["phase"] - last_phase
        if r["smooth_period"] != 0 and 0.67 * 360 / r["smooth_period"] < turn < 1.5 * 360 / r["smooth_period"]:
            trend = 0
        if r["line"] != 0 and abs((r["smooth"] - r["line"]) / r["line"]) >= 0.015:
            trend = 1
        last_sine, last_lead, last_phase, r["trend"] = s, lead, r["phase"], trend
    return placed(x, rows, 63, lambda r: r["trend"])


def mama(x, fast, slow):
    m = f = last = 0.0
    out = {"mama": [None] * len(x), "fama": [None] * len(x)}
    for r in cycle(x, 12):
        phase = math.atan(r["q1"] / r["i1"]) * DEGREES if r["i1"] != 0 else 0.0
        turn, last = max(last - phase, 1), phase
        k = max(fast / turn, slow)
        m = k * x[r["i"]] + (1 - k) * m
        f = 0.5 * k * m + (1 - 0.5 * k) * f
        if r["i"] >= 32:
            out["mama"][r["i"]], out["fama"][r["i"]] = m, f
    return out
