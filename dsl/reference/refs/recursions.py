"""TA-Lib's functions written out, seeds included: what an implementer needs to know, checked against TA-Lib by check.py.

Lists of floats in, lists out, None before the first value. Written for reading; speed does not matter.
"""
import math


def ema(x, n, start=0, alpha=None):
    """Begins with the mean of n values from `start` on."""
    out, k = [None] * len(x), 2 / (n + 1) if alpha is None else alpha
    if len(x) >= start + n:
        out[start + n - 1] = sum(x[start : start + n]) / n
        for i in range(start + n, len(x)):
            out[i] = out[i - 1] + (x[i] - out[i - 1]) * k
    return out


def wilder(x, n, start=0):
    return ema(x, n, start, 1 / n)


def begin(x):
    return next((i for i, v in enumerate(x) if v is not None), len(x))


def then(x, f, *args):
    """`f` of a series that begins with absent values."""
    k = begin(x)
    return [None] * k + f(x[k:], *args)


def each(f, *series):
    return [None if None in row else f(*row) for row in zip(*series)]


def ring(x, n, f):
    return [None if i + 1 < n else f(x[i + 1 - n : i + 1]) for i in range(len(x))]


def wma(x, n):
    return ring(x, n, lambda w: sum((k + 1) * v for k, v in enumerate(w)) / (n * (n + 1) / 2))


def dema(x, n):
    a = ema(x, n)
    return each(lambda p, q: 2 * p - q, a, then(a, ema, n))


def tema(x, n):
    a = ema(x, n)
    b = then(a, ema, n)
    return each(lambda p, q, r: 3 * p - 3 * q + r, a, b, then(b, ema, n))


def t3(x, n, v):
    e = [x]
    for _ in range(6):
        e.append(then(e[-1], ema, n))
    c1, c2, c3, c4 = -(v**3), 3 * v**2 + 3 * v**3, -6 * v**2 - 3 * v - 3 * v**3, 1 + 3 * v + v**3 + 3 * v**2
    return each(lambda e3, e4, e5, e6: c1 * e6 + c2 * e5 + c3 * e4 + c4 * e3, *e[3:])


def trima(x, n):
    """A mean of means: halves of (n + 1) / 2, the first one shorter when n is even."""
    a, b = (n // 2, n // 2 + 1) if n % 2 == 0 else (n // 2 + 1, n // 2 + 1)
    mean = lambda w: sum(w) / len(w)
    return then(ring(x, a, mean), ring, b, mean)


def kama(x, n):
    """Begins with the value before the first output."""
    out = [None] * len(x)
    for i in range(n, len(x)):
        path = sum(abs(x[j] - x[j - 1]) for j in range(i - n + 1, i + 1))
        move = abs(x[i] - x[i - n])
        ratio = 1.0 if path <= move or path == 0 else move / path
        k = (ratio * (2 / 3 - 2 / 31) + 2 / 31) ** 2
        last = x[i - 1] if out[i - 1] is None else out[i - 1]
        out[i] = last + k * (x[i] - last)
    return out


def hma(x, n):
    return then(each(lambda a, b: 2 * a - b, wma(x, n // 2), wma(x, n)), wma, int(math.sqrt(n)))


def zlema(x, n):
    lag = (n - 1) // 2
    return then([None if i < lag else 2 * x[i] - x[i - lag] for i in range(len(x))], ema, n)


def vwma(c, v, n):
    return [None if i + 1 < n else sum(p * q for p, q in zip(c[i + 1 - n : i + 1], v[i + 1 - n : i + 1])) / sum(v[i + 1 - n : i + 1]) for i in range(len(c))]


def typical(h, l, c):
    return [(a + b + e) / 3 for a, b, e in zip(h, l, c)]


def vwap(h, l, c, v):
    out, pv, total = [], 0.0, 0.0
    for t, q in zip(typical(h, l, c), v):
        pv, total = pv + t * q, total + q
        out.append(pv / total)
    return out


def true_range(h, l, c):
    return [None] + [max(h[i], c[i - 1]) - min(l[i], c[i - 1]) for i in range(1, len(h))]


def keltner(h, l, c, n, atr_n, width):
    """Both averages begin as plain means that end on the first output tick."""
    first = max(n - 1, atr_n)
    middle = ema(typical(h, l, c), n, first + 1 - n)
    atr = [None] + wilder(true_range(h, l, c)[1:], atr_n, first - atr_n)
    return each(lambda m, a: m + width * a, middle, atr)


def supertrend(h, l, c, n, width):
    """Begins up; a band only moves towards the price while the close before stayed inside it."""
    atr = then(true_range(h, l, c), wilder, n)
    out, trend = [None] * len(h), [None] * len(h)
    upper = lower = None
    now = 1
    for i in range(begin(atr), len(h)):
        middle = (h[i] + l[i]) / 2
        up, low = middle + width * atr[i], middle - width * atr[i]
        if upper is not None:
            up = up if up < upper or c[i - 1] > upper else upper
            low = low if low > lower or c[i - 1] < lower else lower
            now = -1 if now == 1 and c[i] < low else 1 if now == -1 and c[i] > up else now
        upper, lower = up, low
        out[i], trend[i] = (low if now == 1 else up), now
    return {"line": out, "trend": trend}


def sar(h, l, step, most):
    """Begins short when the first down move is the larger one, else long; the stop is the first bar's extreme."""
    down, up = l[0] - l[1], h[1] - h[0]
    long = not (down > 0 and up < down)
    extreme, stop, af = (h[1], l[0], step) if long else (l[1], h[0], step)
    out = [None] * len(h)
    before = (h[1], l[1])
    for i in range(1, len(h)):
        last_h, last_l = before if i == 1 else (h[i - 1], l[i - 1])
        if long:
            if l[i] <= stop:
                long, stop = False, max(extreme, last_h, h[i])
                out[i] = stop
                af, extreme = step, l[i]
                stop = max(stop + af * (extreme - stop), last_h, h[i])
            else:
                out[i] = stop
                if h[i] > extreme:
                    extreme, af = h[i], min(af + step, most)
                stop = min(stop + af * (extreme - stop), last_l, l[i])
        elif h[i] >= stop:
            long, stop = True, min(extreme, last_l, l[i])
            out[i] = stop
            af, extreme = step, h[i]
            stop = min(stop + af * (extreme - stop), last_l, l[i])
        else:
            out[i] = stop
            if l[i] < extreme:
                extreme, af = l[i], min(af + step, most)
            stop = max(stop + af * (extreme - stop), last_h, h[i])
    return out


def macdfix(x, smooth):
    a, b = ema(x, 12, 14, 0.15), ema(x, 26, 0, 0.075)
    line = each(lambda p, q: p - q, a, b)
    return each(lambda p, q: p - q, line, then(line, ema, smooth))


def ppo(x, fast, slow):
    return each(lambda p, q: 100 * (p - q) / q, ema(x, fast), ema(x, slow))


def moves(x):
    return [max(b - a, 0) for a, b in zip(x, x[1:])], [max(a - b, 0) for a, b in zip(x, x[1:])]


def cmo(x, n):
    up, down = (wilder(m, n) for m in moves(x))
    return [None] + each(lambda u, d: 0 if u + d == 0 else 100 * (u - d) / (u + d), up, down)


def rsi(x, n):
    up, down = (wilder(m, n) for m in moves(x))
    return [None] + each(lambda u, d: 0 if u + d == 0 else 100 * u / (u + d), up, down)


def stochrsi(x, n, fast_k, fast_d):
    k = then(rsi(x, n), ring, fast_k, lambda w: 0 if max(w) == min(w) else 100 * (w[-1] - min(w)) / (max(w) - min(w)))
    return then(k, ring, fast_d, lambda w: sum(w) / len(w))


def directional(h, l, c, n):
    """Wilder's sums begin as the plain sum of the first n - 1 moves, and take the n-th as if they were sums of n."""
    plus, minus = [], []
    for i in range(1, len(h)):
        up, down = h[i] - h[i - 1], l[i - 1] - l[i]
        plus.append(up if up > down and up > 0 else 0)
        minus.append(down if down > up and down > 0 else 0)
    tr = true_range(h, l, c)[1:]

    def sums(m):
        out, s = [None] * (n - 1), sum(m[: n - 1])
        for v in m[n - 1 :]:
            s = s - s / n + v
            out.append(s)
        return [None] + out

    p, m, t = sums(plus), sums(minus), sums(tr)
    di = lambda a, b: 0 if b == 0 else 100 * a / b
    plus_di, minus_di = each(di, p, t), each(di, m, t)
    dx = each(lambda a, b: 0 if a + b == 0 else 100 * abs(a - b) / (a + b), plus_di, minus_di)
    adx = then(dx, wilder, n)
    adxr = [None if i < n - 1 or adx[i - n + 1] is None else (v + adx[i - n + 1]) / 2 for i, v in enumerate(adx)]
    return {"plus_di": plus_di, "minus_di": minus_di, "dx": dx, "adx": adx, "adxr": adxr}


def trix(x, n):
    e = then(then(ema(x, n), ema, n), ema, n)
    k = begin(e)
    return [None] * (k + 1) + [100 * (b / a - 1) for a, b in zip(e[k:], e[k + 1 :])]


def tsi(x, first, second):
    m = [None] + [b - a for a, b in zip(x, x[1:])]
    twice = lambda s: then(then(s, ema, first), ema, second)
    return each(lambda a, b: 0 if b == 0 else 100 * a / b, twice(m), twice([None if v is None else abs(v) for v in m]))


def roc(x, n):
    return [None if i < n else 100 * (x[i] / x[i - n] - 1) for i in range(len(x))]


def coppock(x, smooth, r1, r2):
    return then(each(lambda a, b: a + b, roc(x, r1), roc(x, r2)), wma, smooth)


def flow_volume(h, l, c, v):
    return [0 if a == b else ((e - b) - (a - e)) / (a - b) * q for a, b, e, q in zip(h, l, c, v)]


def cumulative(x):
    out, total = [], 0.0
    for v in x:
        total += v
        out.append(total)
    return out


def adosc(h, l, c, v, fast, slow):
    """Both averages begin with the first AD value."""
    ad = cumulative(flow_volume(h, l, c, v))
    p = q = ad[0]
    out = []
    for i, value in enumerate(ad):
        p, q = p + (value - p) * 2 / (fast + 1), q + (value - q) * 2 / (slow + 1)
        out.append(None if i + 1 < max(fast, slow) else p - q)
    return out


def efi(c, v, n):
    return [None] + ema([(b - a) * q for a, b, q in zip(c, c[1:], v[1:])], n)


def vpt(c, v):
    return cumulative([0.0] + [q * (b - a) / a for a, b, q in zip(c, c[1:], v[1:])])


def nvi(c, v):
    out = [1000.0]
    for i in range(1, len(c)):
        out.append(out[-1] * c[i] / c[i - 1] if v[i] < v[i - 1] else out[-1])
    return out


def heikin_ashi(o, h, l, c):
    """The first open is the middle of open and close."""
    close = [(p + q + r + s) / 4 for p, q, r, s in zip(o, h, l, c)]
    opens = [(o[0] + c[0]) / 2]
    for i in range(1, len(o)):
        opens.append((opens[-1] + close[i - 1]) / 2)
    return {"open": opens, "high": list(map(max, h, opens, close)), "low": list(map(min, l, opens, close)), "close": close}


def bop(o, h, l, c):
    return [0 if b == e else (d - a) / (b - e) for a, b, e, d in zip(o, h, l, c)]
