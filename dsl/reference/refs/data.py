"""Input data sets, made from integers so that every platform makes the same ones.

Bars: 160 rows of one minute. Prices are multiples of 1/64, hence exact in binary, and so are their differences; a tie in the
data is a tie for every implementation. Events: 220 instants of one instrument, five levels a side, trades and losses of the
book. Each kind comes as walk, flat, spike, gap and offset (prices near 1e8).
"""
import random

ROWS = 160
EVENTS = 220
SETS = ("walk", "flat", "spike", "gap", "offset")
#: The period of the bars, ns; row k closes at (k + 1) * PERIOD_NS.
PERIOD_NS = 60_000_000_000
BAR_COLUMNS = ("open", "high", "low", "close", "volume", "bench", "noise", "mark")
LEVELS = 5


class Table:
    """Columns of equal length; None is absent."""

    def __init__(self, columns):
        self.columns = columns
        self.rows = len(next(iter(columns.values())))

    def __getattr__(self, name):
        try:
            return self.columns[name]
        except KeyError as e:
            raise AttributeError(name) from e


def _wander(rng, width):
    """A roughly bell-shaped integer: no library's normal sampler, which may change between versions."""
    return sum(rng.randrange(-width, width + 1) for _ in range(4))


def bars(name):
    rng = random.Random(f"bars {name}")
    base = 100_000_000 * 64 if name == "offset" else 100 * 64
    close, bench, noise, mark_left, mark = base, base + 640, 0, 3, 0
    columns = {c: [] for c in BAR_COLUMNS}
    for row in range(ROWS):
        open_ = close + (rng.randrange(-6, 7) if row else 0)
        drift = 4 if 60 <= row < 85 else -4 if 100 <= row < 120 else 0
        step = _wander(rng, 16) + drift
        close = max(open_ + step, 640) if name != "offset" else open_ + step
        high = max(open_, close) + rng.randrange(0, 30)
        low = min(open_, close) - rng.randrange(0, 30)
        volume = 1000 + rng.randrange(-400, 900)
        bench += step // 2 + _wander(rng, 12)
        noise = (noise * 3) // 4 + _wander(rng, 20)
        mark_left -= 1
        if mark_left == 0:
            mark, mark_left = 1 - mark, rng.randrange(1, 9)
        values = dict(zip(BAR_COLUMNS, [open_ / 64, high / 64, low / 64, close / 64, float(volume), bench / 64, noise / 64, float(mark)]))
        if name == "flat":
            values = dict(open=100.0, high=100.0, low=100.0, close=100.0, volume=1000.0, bench=110.0, noise=0.0, mark=0.0)
        if name == "spike" and row in (45, 110):
            factor = 4 if row == 45 else 0.25
            for c in ("open", "high", "low", "close", "bench"):
                values[c] *= factor
            values["volume"], values["noise"] = (250_000.0, 500.0) if row == 45 else (0.0, -500.0)
        for c in BAR_COLUMNS:
            columns[c].append(values[c])
    if name == "gap":
        whole = {0, 7, 30, 31, 32, 77, 100, 101, 140}
        for c in BAR_COLUMNS:
            for row in whole:
                columns[c][row] = None
        for c, rows in dict(volume=(12, 55), bench=(18, 90, 91), noise=(20, 64), mark=(25, 26, 80)).items():
            for row in rows:
                columns[c][row] = None
    return Table(columns)


BOOK_COLUMNS = [f"{side}{k}_{what}" for side in ("bid", "ask") for k in range(LEVELS) for what in ("px", "qty")]
EVENT_COLUMNS = ["ts_ns", "kind", *BOOK_COLUMNS, "px", "qty", "side", "placed_bid", "placed_ask"]
#: From which instants on an order of ours rests, and at which level of its side it was placed.
PLACED = {"placed_bid": ("bid", ((20, 1), (130, 2))), "placed_ask": ("ask", ((70, 0), (170, 1)))}


def events(name):
    """Instants: `book` (the whole book of five levels), `trade` (one print), `gap` (the book is lost until the next `book`).

    Prices are tenths and quantities thousandths: integer / 10^k, correctly rounded.
    """
    rng = random.Random(f"events {name}")
    base = 1_000_000_000 if name == "offset" else 600_000
    bid, width, ts, side = base, 1, 1_700_000_000_000_000_000, 1
    qty = {s: [rng.randrange(100, 4000) for _ in range(LEVELS)] for s in ("bid", "ask")}
    columns = {c: [] for c in EVENT_COLUMNS}
    lost = False
    for row in range(EVENTS):
        ts += rng.randrange(1, 400) * 1_000_000 + rng.randrange(0, 1000)
        if name != "flat" and row % 29 == 17:
            ts = columns["ts_ns"][-1]  # two instants at one time
        draw = rng.random()
        kind = "trade" if draw < 0.45 and row > 1 else "book"
        if name == "gap" and row in (40, 41, 120, 180):
            kind = "gap"
        values = {c: None for c in EVENT_COLUMNS}
        values["ts_ns"], values["kind"] = ts, kind
        move, flip, touched = rng.choice((-1, 0, 0, 0, 0, 0, 1)), rng.random() < 0.35, rng.randrange(1, 4)
        amounts = [rng.randrange(100, 4000) for _ in range(6)]
        size = rng.randrange(5, 900)
        if flip:
            side = -side
        if name == "flat":
            move, amounts, size, side, qty = 0, [1000] * 6, 100, 1, {s: [1000] * LEVELS for s in ("bid", "ask")}
        if name == "spike" and kind == "book":
            move += 3000 if row in (60, 61) or (row == 62) else -9000 if row == 150 else 0
        if kind == "book":
            if move:
                bid += move
                width = 1 + rng.randrange(0, 3) if name != "flat" else 1
                for s in ("bid", "ask"):
                    qty[s] = [amounts[0], *qty[s][:-1]] if move > 0 else [*qty[s][1:], amounts[1]]
            for k in range(touched):
                qty["bid"][(row + k) % LEVELS] = amounts[2 + k % 2]
                qty["ask"][(row + 2 * k) % LEVELS] = amounts[4 + k % 2]
            lost = False
            for k in range(LEVELS):
                values[f"bid{k}_px"], values[f"bid{k}_qty"] = (bid - k - k // 3) / 10, qty["bid"][k] / 1000
                values[f"ask{k}_px"], values[f"ask{k}_qty"] = (bid + width + k + k // 2) / 10, qty["ask"][k] / 1000
        elif kind == "trade":
            through = 1 if size > 800 else 0
            price = (bid + width + through) / 10 if side > 0 else (bid - through) / 10
            if name == "spike" and row > 100 and size > 600:
                size *= 1000
            values["px"], values["qty"], values["side"] = price, size / 1000, float(side)
        else:
            lost = True
        for c in EVENT_COLUMNS:
            columns[c].append(values[c])
    for column, (side, orders) in PLACED.items():
        for first, level in orders:
            start = next(r for r in range(first, EVENTS) if columns["kind"][r] == "book")
            columns[column][start:] = [columns[f"{side}{level}_px"][start]] * (EVENTS - start)
    return Table(columns)


def make(kind, name):
    return bars(name) if kind == "bars" else events(name)
