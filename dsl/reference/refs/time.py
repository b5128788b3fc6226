"""std.time and the temporal operators of the language: conditions over ticks and over time. Booleans are 0 and 1."""
from fractions import Fraction

from .data import PERIOD_NS
from .exact import dense
from .registry import op

PERIOD_S = PERIOD_NS // 10**9


def add(module, name, signature, result, ready, seed, cost, reference, cases, clock="counting", numerics="exact"):
    op(module, name, signature, result, clock, ready, seed, cost, numerics, reference, cases)


def crosses(above):
    def f(a, b):
        """True when a is beyond b and at the last present comparison was not; the first comparison never fires."""
        beyond = [p > q if above else p < q for p, q in zip(a, b)]
        return [int(i > 0 and beyond[i] and not beyond[i - 1]) for i in range(len(a))]

    return f


STUTTER = dict(clock="stutter-invariant")
for word_ in ("above", "below"):
    add(
        "language", f"crosses_{word_}", f"a crosses_{word_} b (a: num, b: num): pulse", "pulse", "1; can fire from the second present value", "the first comparison", "plain",
        "definition in refs/time.py, as `Op::Crosses…`: equality counts as not beyond; absent while an operand is",
        [
            (f"b.close crosses_{word_} b.open", lambda d, w=word_: dense([d.close, d.open], crosses(w == "above")), 1),
            (f"noise crosses_{word_} 0.25", lambda d, w=word_: dense([d.noise, [0.25] * d.rows], crosses(w == "above")), 1),
        ], **STUTTER)


def since(c):
    last, out = None, []
    for i, v in enumerate(c):
        last = i if v else last
        out.append(None if last is None else i - last)
    return out


add("std.time", "bars_since", "(c: bool): int", "int, ticks", "first true tick", "none", "plain", "definition: present ticks since c was true, 0 on such a tick",
    [("bars_since(mark)", lambda d: dense([d.mark], since), None)])


def value_when(k):
    def f(c, a):
        hits, out = [], []
        for cond, v in zip(c, a):
            if cond:
                hits.append(v)
            out.append(hits[-1 - k] if len(hits) > k else None)
        return out

    return f


add("std.time", "value_when", "(c: bool, a: num, k: int = 0): num", "of a", "k + 1 true ticks", "none", "plain (ring of k + 1)", "definition: a at the latest true tick but k; a tick with either absent does not count",
    [(f"value_when(mark, b.close, {k})", lambda d, k=k: dense([d.mark, d.close], value_when(k)), None) for k in (0, 3)], **STUTTER)


def beyond_all(n, better):
    def f(x):
        return [None if i < n else int(all(better(x[i], v) for v in x[i - n : i])) for i in range(len(x))]

    return f


for name_, word_, better_ in (("rising", "above", lambda a, b: a > b), ("falling", "below", lambda a, b: a < b)):
    add("std.time", name_, "(a: num, n: int): bool", "bool", "n + 1", "none", "w", f"definition: a is {word_} each of the n present values before it (Pine's ta.{name_})",
        [(f"{name_}(b.close, {n})", lambda d, n=n, f=better_: dense([d.close], beyond_all(n, f)), n + 1) for n in (3, 1)])


def debounce(hold_s):
    def f(d):
        out, start = [], None
        for row, c in enumerate(d.mark):
            now = (row + 1) * PERIOD_S
            if c is None:
                out.append(None)
                continue
            start = (now if start is None else start) if c else None
            out.append(int(start is not None and now - start >= hold_s))
        return out

    return f


add("std.time", "debounce", "(c: bool, hold: duration): bool", "bool", "1", "false", "plain, one timer", "definition: c has been true for `hold`, the first nanosecond included; an absent c is absent and does not end the run",
    [(f"debounce(mark, {m}min)", lambda d, m=m: debounce(60 * m)(d), 1) for m in (2, 5)], **STUTTER)


def cooldown(rest_s):
    def f(d):
        out, last = [], None
        for row, c in enumerate(d.mark):
            now = (row + 1) * PERIOD_S
            passes = bool(c) and (last is None or now - last >= rest_s)
            last = now if passes else last
            out.append(None if c is None else int(passes))
        return out

    return f


add("std.time", "cooldown", "(c: bool, rest: duration): pulse", "pulse", "1", "nothing passed yet", "plain", "definition: a tick with c true passes when the last that passed is at least `rest` ago",
    [(f"cooldown(mark, {m}min)", lambda d, m=m: cooldown(60 * m)(d), 1) for m in (3, 10)])


def hysteresis(above, below):
    def f(x):
        on, out = False, []
        for v in x:
            on = True if v > above else False if v < below else on
            out.append(int(on))
        return out

    return f


add("std.ta", "hysteresis", "(a: num, on_above: num, off_below: num): bool", "bool", "1", "false", "plain", "definition, as `Op::Hysteresis`: strict on both sides; absent while a is",
    [(f"hysteresis(noise, on_above: {u}, off_below: {v})", lambda d, u=u, v=v: dense([d.noise], hysteresis(u, v)), 1) for u, v in ((0.5, -0.5), (1, 0))], **STUTTER)


def changed(x):
    return [int(i > 0 and x[i] != x[i - 1]) for i in range(len(x))]


add("language", "changed", "(a: any): pulse", "pulse", "1; can fire from the second present value", "the first present value", "plain", "definition, as `Op::Changed`: differs by value from the last present value",
    [("changed(mark)", lambda d: dense([d.mark], changed), 1)], **STUTTER)
for name_, call_ in (("delay", "delay(b.close, {k})"),):
    add("std.time", name_, "(a: num, k: int): num", "of a", "k + 1", "none", "plain (ring of k)", "definition: `a[k]`, ticks counted, a hole stays a hole",
        [(call_.format(k=k), lambda d, k=k: [None] * k + d.close[: d.rows - k], k + 1) for k in (1, 5)])


def delta(d):
    return [None if not i or d.close[i] is None or d.close[i - 1] is None else float(Fraction(d.close[i]) - Fraction(d.close[i - 1])) for i in range(d.rows)]


add("language", "delta", "(a: num): num", "of a", "2", "none", "plain", "definition, as `Op::Delta`: a - a[1], absent when either is", [("delta(b.close)", delta, 2)])
add("language", "clamp", "(a: num, lo: num, hi: num): num", "of a", "1", "none", "plain", "definition; absent when lo > hi",
    [("clamp(noise, -0.5, 0.75)", lambda d: [None if v is None else min(max(v, -0.5), 0.75) for v in d.noise], 1)], clock="pure")
add("language", "present", "(a: any): bool", "bool", "1", "none", "plain", "definition; never absent", [("present(noise)", lambda d: [int(v is not None) for v in d.noise], 1)], clock="pure")
