"""std.micro: market microstructure, from the papers, on book and trade events.

Values are those a reader sees at the end of each instant: an operator advances on its clock and is held in between.
Prices and quantities are decimals (tenths, thousandths), taken as exact fractions of their doubles.
"""
from fractions import Fraction

import mpmath
from scipy import stats

from .exact import covariance, dense, line_fit, ln, mean, mpf, ratio, sqrt, to_mp, windows
from .data import LEVELS
from .registry import op


def add(name, signature, result, ready, seed, cost, numerics, reference, cases, clock="counting", kind="events", **more):
    op("std.micro", name, signature, result, clock, ready, seed, cost, numerics, reference, cases, kind=kind, **more)


class Book:
    """The book after an instant: bids and asks as (price, quantity), best first; None while it is not live."""

    def __init__(self, d, row):
        get = lambda side: [(Fraction(d.columns[f"{side}{k}_px"][row]), Fraction(d.columns[f"{side}{k}_qty"][row])) for k in range(LEVELS)]
        self.bids, self.asks = get("bid"), get("ask")
        self.mid = (self.bids[0][0] + self.asks[0][0]) / 2


def books(d):
    """The book as it stands at the end of every instant."""
    out, now = [], None
    for row, kind in enumerate(d.kind):
        if kind != "trade":
            now = Book(d, row) if kind == "book" else None
        out.append(now)
    return out


def level(f):
    """A pure function of the book."""
    return lambda d: [None if b is None else to_double(f(b)) for b in books(d)]


def to_double(v):
    if isinstance(v, dict):
        return {k: to_double(x) for k, x in v.items()}
    return None if v is None else float(v)


def split(rows, keys):
    return {k: [None if r is None else r[k] for r in rows] for k in keys}


def on_ticks(d, kind, values):
    """Holds `values` (one per instant of that kind; None absent) until the next such instant."""
    out, now, it = [], None, iter(values)
    for k in d.kind:
        if k in kind:
            now = next(it)
            now = to_double(now)
        out.append(now)
    return out


def trades(d):
    """(row, price, quantity, side) of every print."""
    return [(r, Fraction(d.px[r]), Fraction(d.qty[r]), int(d.side[r])) for r, k in enumerate(d.kind) if k == "trade"]


# ---- The book --------------------------------------------------------------------------------------------------------
X = "x: instrument"
PURE = dict(clock="pure over book(x)")
add("mid", f"({X}): price", "price", "1", "none", "plain", "pure", "(best bid + best ask) / 2; also `x.mid`; fractions", [("mid(x)", level(lambda b: b.mid), 1)], **PURE)
add("spread", f"({X}): price", "price", "1", "none", "plain", "pure", "best ask - best bid; also `x.spread`; fractions",
    [("spread(x)", level(lambda b: b.asks[0][0] - b.bids[0][0]), 1)], **PURE)


def weighted(b, levels):
    """Each side's best price weighs what stands on the other side."""
    qb, qa = sum(q for _, q in b.bids[:levels]), sum(q for _, q in b.asks[:levels])
    return ratio(b.bids[0][0] * qa + b.asks[0][0] * qb, qa + qb)


add("microprice", f"({X}): price", "price", "1", "none", "plain", "pure",
    "(bid * ask_qty + ask * bid_qty) / (bid_qty + ask_qty) of the best level (Gatheral & Oomen, Finance Stoch. 14 (2010) 2.4); Stoikov's 2018 micro-price needs an estimated table; fractions",
    [("microprice(x)", level(lambda b: weighted(b, 1)), 1)], **PURE)
add("weighted_mid", f"({X}, levels: int = 5): price", "price", "1", "none", "O(levels)", "pure",
    "microprice with each side's quantity summed over the levels; `levels: 1` is microprice; fractions",
    [(f"weighted_mid(x, levels: {n})", level(lambda b, n=n: weighted(b, n)), 1) for n in (5, 2)], **PURE)


def imbalance(b, levels):
    qb, qa = sum(q for _, q in b.bids[:levels]), sum(q for _, q in b.asks[:levels])
    return ratio(qb - qa, qb + qa)


add("queue_imbalance", f"({X}, levels: int = 5): ratio", "ratio", "1", "none", "O(levels)", "pure", "(bids - asks) / (bids + asks) (Gould & Bonart 2016 at levels 1); fractions",
    [(f"queue_imbalance(x, levels: {n})", level(lambda b, n=n: imbalance(b, n)), 1) for n in (5, 1)], **PURE)


def depth(b, within):
    return {
        "bid": sum(q for p, q in b.bids if b.mid - p <= within * b.mid),
        "ask": sum(q for p, q in b.asks if p - b.mid <= within * b.mid),
    }


def depth_case(within):
    f = level(lambda b: depth(b, Fraction(within)))
    return lambda d: split(f(d), ("bid", "ask"))


add("depth_at", f"({X}, within: ratio): (bid: qty, ask: qty)", "qty", "1", "none", "O(levels)", "pure",
    "quantity no further than `within` of mid from mid, each side, of the visible levels (at most 20); the bound counts; fractions",
    [("depth_at(x, within: 0.05 bps)", depth_case("0.000005"), 1), ("depth_at(x, within: 0.04 bps)", depth_case("0.000004"), 1)], **PURE)


def slope(b, levels):
    def side(rows):
        near = [(abs(p - b.mid), sum(q for _, q in rows[: k + 1])) for k, (p, _) in enumerate(rows[:levels])]
        return sum(a * q for a, q in near) / sum(a * a for a, _ in near)

    return (side(b.bids) + side(b.asks)) / 2


add("book_slope", f"({X}, levels: int = 5): qty/price", "qty per price", "1", "none", "O(levels)", "pure",
    "least squares through the origin of cumulative quantity on distance from mid, mean of both sides (the slope of Naes & Skjeltorp 2006 takes logarithms of quantities, which have no unit here); fractions",
    [(f"book_slope(x, levels: {n})", level(lambda b, n=n: slope(b, n)), 1) for n in (5, 2)], **PURE)


def flow(before, now, k):
    """Order-flow imbalance of level k between two books, term by term as in the paper."""
    (pb, qb), (pa, qa) = now.bids[k], now.asks[k]
    (pb0, qb0), (pa0, qa0) = before.bids[k], before.asks[k]
    return (pb >= pb0) * qb - (pb <= pb0) * qb0 - (pa <= pa0) * qa + (pa >= pa0) * qa0


def ofi(k):
    def f(d):
        out, last, values = [], None, None
        for kind, b in zip(d.kind, books(d)):
            if kind != "trade":
                values = None if b is None or last is None else float(flow(last, b, k))
                last = b
            out.append(values)
        return out

    return f


add("ofi", f"({X}): qty", "qty", "2", "none; after a gap the first book is absent", "plain", "pure over one ring slot",
    "Cont, Kukanov & Stoikov, J. Fin. Econometrics 12 (2014) eq. 4, best level, per book event; fractions", [("ofi(x)", ofi(0), None)])
add("mlofi", f"({X}, level: int): qty", "qty", "2", "as ofi", "plain", "pure over one ring slot",
    "Xu, Gould & Howison, arXiv 1907.06230: one component (level 0 is ofi); a weighted sum is written by the user; fractions",
    [(f"mlofi(x, level: {k})", ofi(k), None) for k in (2, 4)])


# ---- Trades ----------------------------------------------------------------------------------------------------------
def over_trades(n, f):
    """`f` of the last n prints, held between prints."""
    return lambda d: on_ticks(d, ("trade",), [None if i + 1 < n else f(trades(d)[i + 1 - n : i + 1]) for i in range(len(trades(d)))])


add("signed_volume", f"({X}): qty", "qty", "1", "none", "plain", "pure", "quantity of the print, positive when the buyer was the aggressor; fractions",
    [("signed_volume(x)", over_trades(1, lambda w: w[0][2] * w[0][3]), None)], clock="pure over trades(x)")
add("trade_imbalance", f"({X}, n: int): ratio", "ratio", "n prints", "none", "plain", "sum", "sum of signed quantity / sum of quantity over the last n prints; fractions",
    [(f"trade_imbalance(x, {n})", over_trades(n, lambda w: ratio(sum(q * s for _, _, q, s in w), sum(q for _, _, q, _ in w))), None) for n in (20, 5)])
add("aggressor_ratio", f"({X}, n: int): ratio", "ratio", "n prints", "none", "plain", "sum", "share of the last n prints whose aggressor was the buyer, by count; fractions",
    [(f"aggressor_ratio(x, {n})", over_trades(n, lambda w: Fraction(sum(s > 0 for *_, s in w), len(w))), None) for n in (20, 5)])


def intensity(halflife_ms):
    def f(d):
        beta = mpmath.log(2) / (mpf(halflife_ms) / 1000)
        at = [d.ts_ns[r] for r, *_ in trades(d)]
        return on_ticks(d, ("trade",), [sum(beta * mpmath.exp(-beta * mpf(at[i] - t) / 10**9) for t in at[: i + 1]) for i in range(len(at))])

    return f


add("trade_intensity", f"({X}, halflife: duration): 1/s", "1/s", "1 print", "0 before the first print", "plain", "rec",
    "exponential Hawkes kernel (Hawkes 1971; Bacry et al. 2015): sum over prints so far, this one included, of beta exp(-beta age), beta = ln 2 / halflife: a rate whose kernel has mass 1; direct sum, mpmath",
    [(f"trade_intensity(x, halflife: {t}ms)", intensity(t), None) for t in (2000, 250)])


def vpin(bucket, count):
    def f(d):
        size, filled, buy, gaps, out = Fraction(bucket), Fraction(0), Fraction(0), [], []
        for _, _, q, s in trades(d):
            while q > 0:
                part = min(q, size - filled)
                filled, buy, q = filled + part, buy + (part if s > 0 else 0), q - part
                if filled == size:
                    gaps.append(abs(2 * buy - size))
                    filled = buy = Fraction(0)
            out.append(None if len(gaps) < count else sum(gaps[-count:]) / (count * size))
        return on_ticks(d, ("trade",), out)

    return f


add("vpin", f"({X}, bucket: qty, n: int = 50): ratio", "ratio", "n full buckets", "empty bucket", "plain (a print fills at most n buckets: more change nothing)", "sum",
    "Easley, Lopez de Prado & O'Hara, Rev. Financial Studies 25 (2012), with the venue's aggressor instead of bulk classification; a print is split over buckets; fractions",
    [("vpin(x, bucket: 2 BTC, n: 8)", vpin(2, 8), None), ("vpin(x, bucket: 0.5 BTC, n: 5)", vpin("0.5", 5), None)])


def mids_at_trades(d):
    return [None if b is None else b.mid for b, k in zip(books(d), d.kind) if k == "trade"]


def kyle(n):
    def f(d):
        t, mid = trades(d), mids_at_trades(d)
        pairs, out = [], []
        for i in range(len(t)):
            ok = i > 0 and mid[i] is not None and mid[i - 1] is not None
            if ok:
                pairs.append((mid[i] - mid[i - 1], t[i - 1][2] * t[i - 1][3]))
            if not ok or len(pairs) < n:
                out.append(None)
                continue
            fit = line_fit([q for _, q in pairs[-n:]], [m for m, _ in pairs[-n:]])
            out.append(None if fit is None else fit[0])
        return on_ticks(d, ("trade",), out)

    return f


add("kyle_lambda", f"({X}, n: int): price/qty", "price per qty", "n + 1 prints", "none", "plain", "welford",
    "Kyle 1985 as regressed by Hasbrouck (2009): slope, with intercept, of the change of mid from one print to the next on the signed quantity of the first; absent at a print without a book; fractions",
    [(f"kyle_lambda(x, {n})", kyle(n), None) for n in (20, 6)])


def effective(d):
    return on_ticks(d, ("trade",), [None if m is None else 2 * s * (p - m) for (_, p, _, s), m in zip(trades(d), mids_at_trades(d))])


add("effective_spread", f"({X}): price", "price", "1 print", "none", "plain", "pure", "2 side (price - mid), the mid that stands at the print (Huang & Stoll 1996); fractions",
    [("effective_spread(x)", effective, None)], clock="pure over trades(x)")


def later(k, f):
    def g(d):
        t, m = trades(d), mids_at_trades(d)
        return on_ticks(d, ("trade",), [None if i < k or m[i] is None else f(t[i - k], m[i]) for i in range(len(t))])

    return g


add("realized_spread", f"({X}, after: int): price", "price", "after + 1 prints", "none", "plain", "ring",
    "2 side (price - mid `after` prints later), told when it is known (Huang & Stoll 1996 with prints instead of minutes); fractions",
    [(f"realized_spread(x, after: {k})", later(k, lambda t, m: 2 * t[3] * (t[1] - m)), None) for k in (5, 1)])
add("markout", f"({X}, after: int): price", "price", "after + 1 prints", "none", "plain", "ring",
    "side (mid `after` prints later - price): what the aggressor gained, told when it is known; fractions",
    [(f"markout(x, after: {k})", later(k, lambda t, m: t[3] * (m - t[1])), None) for k in (5, 1)])


# ---- Bars and samples of a price -------------------------------------------------------------------------------------
def returns(n, f, step=lambda a, b: ln(b / a)):
    """`f` of the last n present changes between neighbouring rows: no change crosses an absent row, and there the result is absent."""

    def g(d):
        x = d.close
        r = [None if not i or x[i] is None or x[i - 1] is None else step(Fraction(x[i - 1]), Fraction(x[i])) for i in range(d.rows)]
        keep = [i for i, v in enumerate(r) if v is not None]
        out = [None] * d.rows
        for j in range(n - 1, len(keep)):
            v = f([r[i] for i in keep[j + 1 - n : j + 1]])
            out[keep[j]] = None if v is None else float(v) if mpmath.isfinite(to_mp(v)) else None
        return out

    return g


def rv(r):
    return sum(v * v for v in r)


def bv(r):
    return mpmath.pi / 2 * sum(abs(a * b) for a, b in zip(r, r[1:]))


def jump(r):
    n, full, smooth = len(r), rv(r), bv(r)
    if smooth == 0:
        return None
    quad = n * (mpmath.pi / 2) ** 2 * sum(abs(a * b * c * d) for a, b, c, d in zip(r, r[1:], r[2:], r[3:]))
    return (1 - smooth / full) / mpmath.sqrt(((mpmath.pi / 2) ** 2 + mpmath.pi - 5) / n * max(mpf(1), quad / smooth**2))


def two_scale(k):
    def f(r):
        """r: the n log returns of n + 1 prices; slow: overlapping returns over k steps."""
        n = len(r)
        slow = sum(sum(r[i : i + k]) ** 2 for i in range(n - k + 1)) / k
        return slow - mpf(n - k + 1) / k / n * rv(r)

    return f


GAP = "; returns of neighbouring ticks only, so absent on the first tick after a hole; mpmath"
BARS = dict(kind="bars")
add("amihud", "(b: ohlcv, n: int): 1/money", "1 / money", "n + 1", "none", "plain", "sum",
    "Amihud, J. Fin. Markets 5 (2002) eq. 1: mean of |simple return| / (volume * close) over n bars, returns between present bars; a bar without volume: absent until it leaves; fractions",
    [(f"amihud(b, {n})", lambda d, n=n: dense([d.close, d.volume], amihud_rows(n)), n + 1) for n in (20, 5)], **BARS)


def amihud_rows(n):
    def f(c, v):
        c, v = [Fraction(q) for q in c], [Fraction(q) for q in v]
        one = [None] + [None if v[i] == 0 else abs(c[i] / c[i - 1] - 1) / (v[i] * c[i]) for i in range(1, len(c))]
        return [None if i < n or None in one[i + 1 - n : i + 1] else sum(one[i + 1 - n : i + 1]) / n for i in range(len(c))]

    return f


def roll(w):
    """w: n + 1 changes; covariance of the n neighbouring pairs."""
    c = covariance(w[1:], w[:-1], 1)
    return None if c > 0 else 2 * sqrt(-c)


add("roll_spread", "(a: num, n: int): num", "of a", "n + 2", "none", "plain", "welford",
    "Roll, J. Finance 39 (1984): 2 sqrt(-cov) of the last n pairs of neighbouring changes, sample covariance; a positive covariance estimates nothing: absent; changes of neighbouring ticks only; fractions",
    [(f"roll_spread(b.close, {n})", returns(n + 1, roll, lambda a, b: b - a), None) for n in (20, 6)], **BARS)
add("realised_vol", "(a: num, n: int): ratio", "ratio over n ticks", "n + 1", "none", "plain", "sum", "sqrt of the sum of n squared log returns (Andersen et al. 2003)" + GAP,
    [(f"realised_vol(b.close, {n})", returns(n, lambda r: mpmath.sqrt(rv(r))), n + 1) for n in (20, 5)], **BARS)
add("bipower_var", "(a: num, n: int): ratio", "ratio, squared, over n ticks", "n + 1", "none", "plain", "sum",
    "Barndorff-Nielsen & Shephard 2004: pi/2 times the sum of |r| |r[1]| over the n - 1 neighbours among the last n log returns, no small-sample factor" + GAP,
    [(f"bipower_var(b.close, {n})", returns(n, bv), n + 1) for n in (20, 5)], **BARS)
add("jump_stat", "(a: num, n: int): real", "real, standard normal without jumps", "n + 1", "none", "plain", "sum",
    "ratio statistic of Barndorff-Nielsen & Shephard 2006 / Huang & Tauchen 2005: (1 - BV/RV) / sqrt(((pi/2)^2 + pi - 5)/n max(1, QP/BV^2)) with quad-power QP (no power function needed); BV = 0: absent" + GAP,
    [(f"jump_stat(b.close, {n})", returns(n, jump), n + 1) for n in (30, 8)], **BARS)
add("two_scale_rv", "(a: num, n: int, k: int): ratio", "ratio, squared, over n ticks", "n + 1", "none", "plain", "sum",
    "Zhang, Mykland & Ait-Sahalia, JASA 100 (2005) eq. 55: mean of k subsampled variances less (n - k + 1)/(k n) of the full one, no small-sample factor; may be negative" + GAP,
    [(f"two_scale_rv(b.close, {n}, {k})", returns(n, two_scale(k)), n + 1) for n, k in ((30, 5), (8, 2))], **BARS)


# ---- Queues ----------------------------------------------------------------------------------------------------------
def queue_position(side):
    """An order that rests at the price in column `placed_<side>` from the instant of a book at which that is new, behind what
    the book shows there.

    Prints of the other side's aggressor at our price take from the front; prints beyond it mean that the front is gone.
    What else disappears at our price between two books is cancelled evenly over the queue. Never more than is shown.
    """

    def f(d):
        out, price, ahead, shown, traded = [], None, None, None, Fraction(0)
        sign = 1 if side == "bid" else -1
        for row, (kind, b) in enumerate(zip(d.kind, books(d))):
            if kind == "book":
                rows = b.bids if side == "bid" else b.asks
                wanted = d.columns[f"placed_{side}"][row]
                if wanted is not None and (price is None or Fraction(wanted) != price):
                    price = Fraction(wanted)
                    ahead = shown = dict(rows)[price]
                    traded = Fraction(0)
                elif price is not None:
                    now = dict(rows).get(price)
                    if now is None:
                        # Better than all shown prices: nothing is ahead. Deeper than what is shown: unknown, so unchanged.
                        if sign * (price - rows[0][0]) > 0:
                            ahead, shown = Fraction(0), Fraction(0)
                    else:
                        rest = shown - traded
                        lost = rest - now
                        if lost > 0 and rest > 0:
                            ahead -= lost * ahead / rest
                        ahead, shown = min(ahead, now), now
                    traded = Fraction(0)
            elif kind == "trade" and price is not None and d.side[row] == -sign:
                p, q = Fraction(d.px[row]), Fraction(d.qty[row])
                if p == price:
                    ahead, traded = max(ahead - q, Fraction(0)), traded + q
                elif sign * (price - p) > 0:
                    ahead = Fraction(0)
            out.append(None if price is None or b is None else float(ahead))
        return out

    return f


add("queue_position", f"({X}, side: bid or ask, at: price): qty", "qty ahead of us", "first book with `at` present", "all that is shown at the price when `at` becomes present", "O(levels)", "rec",
    "proportional cancellation (the uniform model of Cont, Stoikov & Talreja 2010; hftbacktest's risk-neutral queue): definition in refs/micro.py, fractions; restarts when `at` changes; absent while the book is not live",
    [
        ("queue_position(x, bid, at: placed_bid)", queue_position("bid"), None),
        ("queue_position(x, ask, at: placed_ask)", queue_position("ask"), None),
    ], clock="counting (book and trades)")


def fill_prob(rate_per_s, horizon_s, size):
    def f(d):
        out = []
        for b in books(d):
            if b is None:
                out.append(None)
                continue
            need = int(b.bids[0][1] / Fraction(size)) + 1
            lam = mpf(rate_per_s) * mpf(horizon_s)
            out.append(float(1 - sum(mpmath.exp(-lam) * lam**k / mpmath.factorial(k) for k in range(need))) if need <= 64 else None)
        return out

    return f


add("fill_prob", "(ahead: num, size: num, rate: 1/s, horizon: duration): ratio", "ratio", "1", "none", "W (at most 64 terms)", "pure",
    "P(N >= floor(ahead / size) + 1), N Poisson(rate * horizon): opposite market orders of one size (Cont, Stoikov & Talreja 2010 without cancellations); more than 64 orders: absent; mpmath; scipy.stats.poisson.sf agrees",
    [
        ("fill_prob(x.best_bid.qty, 0.25 BTC, 2 / 1s, 3s)", fill_prob(2, 3, "0.25"), 1),
        ("fill_prob(x.best_bid.qty, 0.1 BTC, 0.5 / 1s, 10s)", fill_prob("0.5", 10, "0.1"), 1),
    ], clock="pure")
