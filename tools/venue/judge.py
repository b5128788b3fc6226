#!/usr/bin/env python3
"""Judge a run from the venue's log alone; imports nothing of Tercel.

Input    the log folder of `tercel venue` (docs/reference/venue-log.md) and, with --recording, the file that was played.
Output   one line `OK: …` or `FAILED: …`, then every difference in a line of its own; with --json one JSON object instead, with
         `ok`, `verdict`, orders, position, fees, fills, and what is `wrong`.
Exit     0 nothing is wrong, 1 something is, 2 the arguments or the files cannot be used.
Checks   line numbers and execution ids without holes; the life of every order; position and fees recomputed from fills; every
         answer on the wire says what the order lines say; no ClOrdID in two requests; with --recording, no fill better or
         larger than the record allows; with --against FILE, the same as another account of the run (JSON with any of
         position, fees, fills, orders: {ClOrdID: cum_qty}, open: [ClOrdID], reservations: {symbol: {buys, sells}}). With
         --heard the other account answers only for what left on the wire: what happened while the session was down it
         cannot know yet.
"""
import argparse
import gzip
import json
import sys
from collections import defaultdict
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation, getcontext
from pathlib import Path

getcontext().prec = 60
OPEN = ("0", "1")


# Differences that are printed; --json has them all.
SHOWN = 20


class Unusable(Exception):
    """The arguments or files are not what can be judged; the text is for people."""


def read_text(path, what):
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise Unusable(f"{path}: no such file; expected {what}") from None
    except IsADirectoryError:
        raise Unusable(f"{path} is a folder; expected {what}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise Unusable(f"{path} cannot be read ({error}); expected {what}") from None


def read_json(path, what):
    try:
        value = json.loads(read_text(path, what))
    except json.JSONDecodeError as error:
        raise Unusable(f"{path}:{error.lineno}:{error.colno} is not JSON ({error.msg}); expected {what}") from None
    if not isinstance(value, dict):
        raise Unusable(f"{path} holds no JSON object; expected {what}")
    return value


def read_lines(path):
    lines = []
    for number, text in enumerate(read_text(path, "the order log of `tercel venue`").splitlines(), 1):
        try:
            line = json.loads(text)
            if not {"n", "type"} <= line.keys():
                raise ValueError("no `n` or `type`")
        except (ValueError, AttributeError) as error:
            hint = "the venue may still be writing, or it was killed" if isinstance(error, json.JSONDecodeError) else ""
            raise Unusable(
                f"{path}:{number} is no line of an order log ({error}){'; ' + hint if hint else ''}") from None
        lines.append(line)
    return lines


def venue_folder(folder):
    """The folder with the venue's log: as given, or `venue` inside what `tercel demo --keep` left."""
    if not folder.is_dir():
        raise Unusable(f"{folder}: no such folder; give the folder of a venue's log, such as `run/first/venue`")
    for place in (folder, folder / "venue", folder.parent / "venue"):
        if (place / "orders.jsonl").is_file():
            return place
    raise Unusable(
        f"{folder} holds no `orders.jsonl`; give the folder of a venue's log: `DIR/venue` of `tercel demo --keep DIR`, or what "
        "`tercel venue --dir` named")


def decimal(text):
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = None
    if value is None or not value.is_finite():
        raise argparse.ArgumentTypeError(f"`{text}` is no decimal number, such as 0.0002")
    return value


class Orders:
    """Orders, position and fees as the execution lines add up."""

    def __init__(self, maker, taker, multiplier):
        self.rates = {1: maker, 2: taker}
        self.multiplier = multiplier
        self.orders = {}
        self.position = Decimal(0)
        self.fees = Decimal(0)
        self.fills = []
        self.wrong = []
        self.next_exec = 1

    def fail(self, line, what):
        self.wrong.append(f"orders.jsonl line {line['n']}: {what}")

    def exec(self, line):
        kind = line["exec_type"]
        if kind == "I":
            return self.status(line)
        if line["exec_id"] != f"E{self.next_exec:010}":
            self.fail(line, f"exec_id {line['exec_id']}, expected E{self.next_exec:010}")
        self.next_exec += 1
        number = lambda key: Decimal(line.get(key, "0"))
        order = self.orders.get(line["order_id"])
        if kind in "08":
            if order is not None:
                self.fail(line, "a second birth")
            order = {"cum": Decimal(0), "open": kind == "0", "ids": [], "side": line["side"], "symbol": line["symbol"]}
            self.orders[line["order_id"]] = order
        if order is None:
            return self.fail(line, "an order that was never acknowledged")
        if kind not in "08" and not order["open"]:
            self.fail(line, "an event of an order that is done")
        if kind in "05":
            order["id"] = line.get("cl_ord_id")
        if line.get("cl_ord_id") not in order["ids"]:
            order["ids"].append(line.get("cl_ord_id"))
        order["qty"], order["px"] = number("order_qty"), line.get("px")
        if kind == "F":
            self.fill(line, order)
        order["open"] = line["ord_status"] in OPEN
        order["status"] = line["ord_status"]
        if number("cum_qty") != order["cum"]:
            self.fail(line, f"cum_qty {line['cum_qty']}, fills add up to {order['cum']}")
        leaves = order["qty"] - order["cum"] if order["open"] else Decimal(0)
        if number("leaves_qty") != leaves:
            self.fail(line, f"leaves_qty {line['leaves_qty']}, expected {leaves}")
        want = {"0": "0", "4": "4", "8": "8", "C": "C"}.get(kind)
        if kind in "F5":
            want = "2" if order["cum"] == order["qty"] else "1" if order["cum"] else "0"
        if line["ord_status"] != want:
            self.fail(line, f"ord_status {line['ord_status']}, expected {want}")

    def fill(self, line, order):
        px, qty = Decimal(line["last_px"]), Decimal(line["last_qty"])
        sign = 1 if line["side"] == 1 else -1
        if qty <= 0:
            self.fail(line, "a fill of nothing")
        limit = line.get("px")
        if limit is not None and (px - Decimal(limit)) * sign > 0:
            self.fail(line, f"filled at {px}, beyond its limit {limit}")
        order["cum"] += qty
        self.position += sign * qty
        fee = (px * qty * self.multiplier * self.rates[line["liquidity"]]).quantize(Decimal("1e-12"), ROUND_HALF_EVEN)
        self.fees += fee
        self.fills.append(line)
        for key, value in (("commission", fee), ("position", self.position), ("fees", self.fees)):
            if Decimal(line[key]) != value:
                self.fail(line, f"{key} {line[key]}, expected {value}")

    def status(self, line):
        order = self.orders.get(line["order_id"])
        if order is not None and (order["status"], order["cum"]) != (line["ord_status"], Decimal(line["cum_qty"])):
            self.fail(line, "a status report that differs from the events before it")


def judge_wire(wire, lines):
    """Every execution that left says what the order lines say, under one number, and none is unheard of."""
    wrong, told = [], {line["exec_id"]: line for line in lines if line["type"] == "exec" and line["exec_id"] != "0"}
    numbers = {}
    for number, row in enumerate(wire.splitlines(), 1):
        parts = row.split(" ", 3)
        if len(parts) < 4:
            raise Unusable(f"fix.log:{number} is no line `<ts> <wall> in|out <bytes>`; the venue may still be writing")
        _, _, way, text = parts
        if way != "out":
            continue
        for message in text.split("8=FIX.4.4|")[1:]:
            fields = dict(pair.split("=", 1) for pair in message.split("|") if "=" in pair)
            if fields.get("35") != "8" or fields.get("150") == "I":
                continue
            line = told.get(fields["17"])
            if line is None:
                wrong.append(f"fix.log: execution {fields['17']} is in no order line")
                continue
            if numbers.setdefault(fields["17"], fields["34"]) != fields["34"]:
                wrong.append(f"fix.log: execution {fields['17']} went out under two numbers")
            pairs = [("37", "order_id"), ("11", "cl_ord_id"), ("150", "exec_type"), ("39", "ord_status"), ("14", "cum_qty")]
            pairs += [("151", "leaves_qty"), ("38", "order_qty"), ("31", "last_px"), ("32", "last_qty"), ("12", "commission")]
            for tag, key in pairs:
                if fields.get(tag) != (str(line[key]) if key in line else None):
                    wrong.append(f"fix.log: {fields['17']} has {tag}={fields.get(tag)}, the order line {line.get(key)}")
    return wrong, set(numbers)


class Record:
    """The recorded market, message by message: depth levels, the newest quote, the last trade."""

    def __init__(self):
        self.levels = ({}, {})
        self.depth_id = 0
        self.quote = None
        self.trade = None
        self.trade_left = Decimal(0)

    def levels_of(self, bids, asks):
        for side, rows in ((0, bids), (1, asks)):
            for px, qty in rows:
                if Decimal(qty) > 0:
                    self.levels[side][Decimal(px)] = Decimal(qty)
                else:
                    self.levels[side].pop(Decimal(px), None)

    def apply(self, data, head_id):
        self.trade = None
        if data["e"] == "depthUpdate":
            if data["u"] > head_id:
                self.levels_of(data["b"], data["a"])
                self.depth_id = data["u"]
        elif data["e"] == "bookTicker":
            if self.quote is None or data["u"] >= self.quote["u"]:
                self.quote = data
        else:
            self.trade = data
            self.trade_left = Decimal(data["q"])

    def displayed(self, side, px):
        """Displayed quantity of bids (0) or asks (1) at a price."""
        if self.quote is not None and self.quote["u"] > self.depth_id:
            best, qty = Decimal(self.quote["ba"[side]]), Decimal(self.quote["BA"[side]])
            if px == best:
                return qty
            if (px > best) == (side == 0):
                return Decimal(0)
        return self.levels[side].get(px, Decimal(0))

    def reached(self, side, px):
        """True when the other side than `side` displays quantity at `px` or through it."""
        other = 1 - side
        prices = list(self.levels[other])
        if self.quote is not None:
            prices.append(Decimal(self.quote["ba"[other]]))
        inside = (lambda at: at <= px) if side == 0 else (lambda at: at >= px)
        return any(inside(at) and self.displayed(other, at) > 0 for at in prices)


def read_recording(path):
    opener = gzip.open if str(path).endswith(".gz") else open
    try:
        with opener(path, "rt", encoding="utf-8") as file:
            return [row.split(" ", 1)[1] for row in file]
    except (OSError, EOFError, UnicodeDecodeError, IndexError) as error:
        raise Unusable(f"{path} is no recording that can be read ({error}); give the file that the venue played") from None


def judge_record(path, fills):
    """No fill is better or larger than what the record traded or displayed at its `after`."""
    wrong, by_after = [], defaultdict(list)
    for fill in fills:
        by_after[fill["after"]].append(fill)
    rows = read_recording(path)
    snapshot_at = next((at for at, row in enumerate(rows) if row.startswith('{"lastUpdateId"')), None)
    if snapshot_at is None:
        raise Unusable(f"{path} holds no depth snapshot; give the recording that the venue played")
    snapshot = json.loads(rows[snapshot_at])
    record, count, last = Record(), 0, max(by_after, default=0)
    record.levels_of(snapshot["bids"], snapshot["asks"])
    record.depth_id = snapshot["lastUpdateId"]
    for at, row in enumerate(rows):
        if at == snapshot_at:
            continue
        record.apply(json.loads(row)["data"], snapshot["lastUpdateId"] if at < snapshot_at else 0)
        count += 1
        for fill in by_after.get(count, []):
            px, qty, side = Decimal(fill["last_px"]), Decimal(fill["last_qty"]), fill["side"] - 1
            if fill["liquidity"] == 2:
                if record.displayed(1 - side, px) < qty:
                    wrong.append(f"{fill['exec_id']}: took {qty} at {px}, displayed {record.displayed(1 - side, px)}")
                continue
            trade = record.trade
            if trade is not None and trade["m"] == (side == 0):
                through = (Decimal(trade["p"]) <= px) if side == 0 else (Decimal(trade["p"]) >= px)
                record.trade_left -= qty
                if not through or record.trade_left < 0:
                    wrong.append(f"{fill['exec_id']}: {qty} at {px} by a trade of {trade['q']} at {trade['p']}")
            elif not record.reached(side, px):
                wrong.append(f"{fill['exec_id']}: passive at {px} without a trade or quote that reaches it")
        if count >= last:
            break
    return wrong


def ids_used_twice(lines):
    """A ClOrdID belongs to one request for ever: order, replace or cancel."""
    seen, wrong = set(), []
    for line in lines:
        if line["type"] == "request" and line["msg_type"] in ("D", "F", "G"):
            if line["cl_ord_id"] in seen:
                wrong.append(f"orders.jsonl line {line['n']}: ClOrdID {line['cl_ord_id']} a second time")
            seen.add(line["cl_ord_id"])
    return wrong


def open_leaves(orders):
    """Open quantity by symbol and side: what a risk ledger must hold in reserve."""
    sums = defaultdict(lambda: {"buys": Decimal(0), "sells": Decimal(0)})
    for order in orders.orders.values():
        if order["open"]:
            sums[order["symbol"]]["buys" if order["side"] == 1 else "sells"] += order["qty"] - order["cum"]
    return sums


def compare(path, orders):
    cums = {cl_ord_id: order["cum"] for order in orders.orders.values() for cl_ord_id in order["ids"]}
    wrong, other = [], read_json(Path(path), "another account of the run, as --help says")
    leaves = open_leaves(orders)
    live = {order["id"] for order in orders.orders.values() if order["open"]}
    for cl_ord_id in live.symmetric_difference(other.get("open", live)):
        wrong.append(f"open order {cl_ord_id}: {'only the venue' if cl_ord_id in live else 'only ' + str(path)} has it")
    for symbol, sides in other.get("reservations", {}).items():
        for side, held in sides.items():
            if Decimal(str(held)) != leaves[symbol][side]:
                wrong.append(f"reserved {side} of {symbol}: {leaves[symbol][side]} are open at the venue, {path} has {held}")
    for key, value in (("position", orders.position), ("fees", orders.fees), ("fills", Decimal(len(orders.fills)))):
        if key in other and Decimal(str(other[key])) != value:
            wrong.append(f"{key}: the venue has {value}, {path} has {other[key]}")
    for cl_ord_id, cum in other.get("orders", {}).items():
        if Decimal(str(cum)) != cums.get(cl_ord_id, Decimal(0)):
            wrong.append(f"order {cl_ord_id}: the venue filled {cums.get(cl_ord_id, 0)}, {path} has {cum}")
    return wrong


def arguments():
    parser = argparse.ArgumentParser(
        description="Judge a run from the venue's log alone: orders, fills, position and fees are recomputed and compared.",
        epilog="exit code: 0 nothing is wrong, 1 something is, 2 arguments or files cannot be used\n\n"
        "examples:\n  judge.py run/first/venue\n  judge.py run/first/venue --recording btcusdt.jsonts.gz\n"
        "  judge.py run/first/venue --json | python3 -m json.tool",
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the venue's log: DIR/venue of `tercel demo --keep DIR`, or what `tercel venue --dir` named")
    parser.add_argument("--json", action="store_true", help="print one JSON object with everything")
    parser.add_argument("--recording", type=Path, metavar="FILE", help="the file that was played: no fill may be better or larger than it allows")
    parser.add_argument("--against", type=Path, metavar="FILE", help="another account of the run, as JSON: any of position, fees, "
                        "fills, orders {ClOrdID: cum_qty}, open [ClOrdID], reservations {symbol: {buys, sells}}")
    parser.add_argument("--heard", action="store_true", help="with --against: compare with what left on the wire only")
    parser.add_argument("--maker", type=decimal, metavar="RATE", default=Decimal("0.0002"), help="fee rate of passive fills (default %(default)s)")
    parser.add_argument("--taker", type=decimal, metavar="RATE", default=Decimal("0.0005"), help="fee rate of aggressive fills (default %(default)s)")
    parser.add_argument("--multiplier", type=decimal, metavar="N", default=Decimal(1), help="contract multiplier (default %(default)s)")
    args = parser.parse_args()
    if args.heard and not args.against:
        parser.error("--heard needs --against FILE")
    return args


def account(args, lines, wanted=lambda line: True):
    orders = Orders(args.maker, args.taker, args.multiplier)
    for line in lines:
        if line["type"] == "exec" and wanted(line):
            try:
                orders.exec(line)
            except (KeyError, InvalidOperation, TypeError) as error:
                raise Unusable(f"orders.jsonl line {line['n']} is no execution ({error!r})") from None
    return orders


def judge(args):
    """The verdict as a dictionary."""
    folder = venue_folder(args.folder)
    # First the wire: a venue that still runs has written every execution on it into the order log by the time that is read.
    wire = read_text(folder / "fix.log", "the record of the order session beside orders.jsonl")
    lines = read_lines(folder / "orders.jsonl")
    orders = account(args, lines)
    wrong = [f"orders.jsonl line {at}: n is {line['n']}" for at, line in enumerate(lines, 1) if line["n"] != at]
    wrong += orders.wrong
    on_wire_wrong, on_wire = judge_wire(wire, lines)
    wrong += on_wire_wrong
    if args.recording:
        wrong += judge_record(args.recording, orders.fills)
    wrong += ids_used_twice(lines)
    if args.against:
        # Holes in what was heard are no fault here: what was not heard is judged above.
        known = account(args, lines, lambda line: line["exec_id"] in on_wire) if args.heard else orders
        wrong += compare(args.against, known)
    open_count = sum(order["open"] for order in orders.orders.values())
    symbols = sorted({order["symbol"] for order in orders.orders.values()})
    facts = (f"{len(orders.orders)} orders ({open_count} open), {len(orders.fills)} fills, position {orders.position}"
             f"{' ' + symbols[0] if len(symbols) == 1 else ''}, fees {orders.fees}")
    checked = ["itself", "the wire"] + ["the recording"] * bool(args.recording) + [str(args.against)] * bool(args.against)
    verdict = (f"FAILED: {len(wrong)} difference{'s' * (len(wrong) != 1)}, first: {wrong[0]}" if wrong
               else f"OK: {facts}; the log agrees with {', '.join(checked[:-1])} and {checked[-1]}")
    return {
        "ok": not wrong,
        "verdict": verdict,
        "orders": {order_id: {
            "cl_ord_ids": order["ids"], "side": order["side"], "status": order["status"], "order_qty": str(order["qty"]),
            "px": order["px"], "cum_qty": str(order["cum"]),
        } for order_id, order in orders.orders.items()},
        "open_orders": open_count,
        "position": str(orders.position),
        "fees": str(orders.fees),
        "fills": len(orders.fills),
        "passive_fills": sum(fill["liquidity"] == 1 for fill in orders.fills),
        "executions_on_wire": len(on_wire),
        "open_leaves": {symbol: {side: str(qty) for side, qty in sides.items()} for symbol, sides in open_leaves(orders).items()},
        "wrong": wrong,
        "facts": facts,
    }


def main():
    args = arguments()
    try:
        found = judge(args)
    except Unusable as error:
        print(f"judge.py: {error}", file=sys.stderr)
        return 2
    facts = found.pop("facts")
    if args.json:
        print(json.dumps(found))
    else:
        print(found["verdict"])
        if found["wrong"]:
            print(f"judged: {facts}")
            for what in found["wrong"][:SHOWN]:
                print(f"  {what}")
            if len(found["wrong"]) > SHOWN:
                print(f"  and {len(found['wrong']) - SHOWN} more; --json lists all")
    return 0 if found["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
