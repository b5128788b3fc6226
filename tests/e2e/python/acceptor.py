#!/usr/bin/env python3
"""A FIX 4.4 venue for tests, built on `simplefix` and the standard library; imports nothing of Tercel.

Session  logon with stored numbers, heartbeats, test requests, sequence checks, ResendRequest asked and answered, PossDup,
         logout. One client at a time; the session outlives its connections.
Orders   an IOC order fills at its own limit, in two parts where it has two lots. A resting order is acknowledged; of every
         three the first fills in two parts after a moment. Every 20th order is rejected. Cancel, replace, status and mass
         status are answered. Nothing here looks at a market.
Fault    --drop-after S: S seconds after the first logon the next new order is lost, as is all that follows it both ways, an
         execution among it. Then the connection closes; the venue executes once more and takes the client back.
Output   fix.log (`<ts> <wall> in|out <bytes>`, SOH as `|`), orders.jsonl, and summary.json when standard input ends.
Exit     3 when simplefix is not installed.
"""
import argparse
import heapq
import itertools
import json
import selectors
import socket
import ssl
import sys
import time
from decimal import Decimal
from pathlib import Path

try:
    import simplefix
except ImportError:
    sys.exit(3)

SOH = b"\x01"
LOT = Decimal("0.001")
TAKER, MAKER = Decimal("0.0005"), Decimal("0.0002")
ADMIN = {b"0", b"1", b"2", b"3", b"4", b"5", b"A"}


def stamp(at=None):
    at = time.time_ns() if at is None else at
    seconds, rest = divmod(at, 1_000_000_000)
    return time.strftime("%Y%m%d-%H:%M:%S", time.gmtime(seconds)) + f".{rest // 1_000_000:03}"


def shown(raw):
    text = "".join(chr(b) if 32 <= b < 127 and b not in (92, 124) else f"\\x{b:02X}" if b != 1 else "|" for b in raw)
    return text


def fault_of(raw):
    """What is wrong with the frame of one message, by our own arithmetic; None when nothing is."""
    body_at = raw.index(b"\x0135=") + 1
    trailer_at = raw.rindex(b"\x0110=") + 1
    stated = raw[raw.index(b"\x019=") + 3 : body_at - 1]
    if int(stated) != trailer_at - body_at:
        return f"BodyLength {stated!r}, counted {trailer_at - body_at}"
    if raw[trailer_at + 3 : trailer_at + 6] != b"%03d" % (sum(raw[:trailer_at]) % 256):
        return "wrong CheckSum"
    return None


class Order:
    def __init__(self, message, order_id):
        get = lambda tag: message.get(tag).decode()
        self.root = self.id = get(11)
        self.ids = {self.id}
        self.order_id = order_id
        self.symbol, self.side, self.tif = get(55), get(54), get(59)
        self.px, self.qty = Decimal(get(44)), Decimal(get(38))
        self.cum = Decimal(0)
        self.state = "0"

    @property
    def leaves(self):
        return self.qty - self.cum if self.state in "01" else Decimal(0)


class Venue:
    def __init__(self, args):
        self.args = args
        self.dir = Path(args.dir)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.log = open(self.dir / "fix.log", "w", encoding="ascii")
        self.lines = open(self.dir / "orders.jsonl", "w", encoding="utf-8")
        self.conn = None
        self.selector = selectors.DefaultSelector()
        self.timers, self.tick = [], itertools.count()
        self.tls = None
        if args.tls_cert:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(args.tls_cert, args.tls_key)
        # Session.
        self.next_in = self.next_out = 1
        self.sent = {}                     # number → (type, time, fields) of application messages
        self.queue, self.asked = {}, False
        self.logged_on, self.heart_bt = False, 10
        self.received_at = self.written_at = 0.0
        self.test_pending = None
        self.mute = self.deaf = self.armed = False
        self.refuse_until = 0.0
        # Orders.
        self.orders, self.by_id = [], {}
        self.exec_count = self.new_count = self.resting_count = 0
        self.position, self.fees = Decimal(0), Decimal(0)
        self.count = dict.fromkeys(
            ["logons", "resends_asked", "resends_answered", "resent", "gap_fills_in", "tests_sent", "tests_answered",
             "tests_received", "fills", "partials", "rejects", "replaces", "cancels", "cancel_rejects", "lost_in", "lost_orders_in",
             "lost_out", "fills_lost_out", "fills_away", "mass_status", "status", "poss_dup_in", "disconnects"], 0)
        self.lost_orders, self.wrong = [], []

    # --- session ---------------------------------------------------------------------------------------------------

    def later(self, delay, action):
        heapq.heappush(self.timers, (time.monotonic() + delay, next(self.tick), action))

    def record(self, **fields):
        self.lines.write(json.dumps({"ts": time.time_ns(), **fields}) + "\n")
        self.lines.flush()

    def note(self, direction, raw):
        now = time.time_ns()
        self.log.write(f"{now} {now} {direction} {shown(raw)}\n")
        self.log.flush()

    def write(self, msg_type, number, fields, orig=None):
        message = simplefix.FixMessage()
        for tag, value in [(8, "FIX.4.4"), (35, msg_type), (34, number), (49, "VENUE"), (56, "TERCEL")]:
            message.append_pair(tag, value, header=True)
        if orig is not None:
            message.append_pair(43, "Y", header=True)
        message.append_pair(52, stamp(), header=True)
        if orig is not None:
            message.append_pair(122, orig, header=True)
        for tag, value in fields:
            message.append_pair(tag, value)
        raw = message.encode()
        if self.conn is None or self.mute:
            self.count["lost_out"] += 1
            return
        try:
            self.conn.sendall(raw)
        except OSError:
            self.count["lost_out"] += 1
            return
        self.written_at = time.monotonic()
        self.note("out", raw)

    def send(self, msg_type, fields):
        number, self.next_out = self.next_out, self.next_out + 1
        if msg_type.encode() not in ADMIN:
            self.sent[number] = (msg_type, stamp(), fields)
        # An application message that finds no session is kept and resent when the client asks for its number.
        if self.logged_on or msg_type == "A":
            self.write(msg_type, number, fields)
        return number

    def complain(self, text):
        self.wrong.append(text)
        print("acceptor:", text, file=sys.stderr, flush=True)

    def open(self, listener):
        conn, _ = listener.accept()
        if self.conn is not None or time.monotonic() < self.refuse_until:
            conn.close()
            return
        conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.tls is not None:
            conn.settimeout(2)
            try:
                conn = self.tls.wrap_socket(conn, server_side=True)
            except OSError as error:
                self.complain(f"TLS: {error}")
                return conn.close()
        self.conn, self.parser, self.logged_on = conn, simplefix.FixParser(), False
        self.queue, self.asked, self.test_pending = {}, False, None
        self.mute = self.deaf = False
        self.received_at = self.written_at = time.monotonic()
        self.note("open", b"")
        self.selector.register(conn, selectors.EVENT_READ, "conn")

    def close(self):
        if self.conn is not None:
            self.selector.unregister(self.conn)
            self.conn.close()
            self.note("close", b"")
        self.conn, self.logged_on = None, False

    def readable(self):
        try:
            raw = self.conn.recv(65536)
            # What TLS has decrypted already does not wake a selector.
            while self.tls is not None and self.conn.pending():
                raw += self.conn.recv(65536)
        except OSError:
            raw = b""
        if not raw:
            return self.close()
        self.note("in", raw)
        self.parser.append_buffer(raw)
        while self.conn is not None and (message := self.parser.get_message()) is not None:
            fault = fault_of(message.encode(raw=True))
            if fault:
                self.complain(f"{fault}: {message}")
            if self.deaf or (self.armed and message.get(35) == b"D"):
                self.lose(message)
                continue
            self.received(message)

    def received(self, message):
        self.received_at, self.test_pending = time.monotonic(), None
        kind, number, poss_dup = message.get(35), int(message.get(34)), message.get(43) == b"Y"
        if (message.get(49), message.get(56)) != (b"TERCEL", b"VENUE"):
            return self.complain(f"CompIDs: {message}")
        if poss_dup:
            self.count["poss_dup_in"] += 1
            if kind != b"4":
                self.complain(f"a resent message of type {kind}: {message}")
        if not self.logged_on:
            return self.logon(message, kind, number)
        if number < self.next_in:
            if not poss_dup:
                self.complain(f"MsgSeqNum {number}, expected {self.next_in}")
                self.close()
            return
        if number > self.next_in:
            if kind == b"2":
                self.resend(int(message.get(7)), int(message.get(16)))
                message = None
            self.queue[number] = message
            return self.ask_resend()
        self.take(message)
        while self.next_in in self.queue:
            queued = self.queue.pop(self.next_in)
            if queued is None:
                self.next_in += 1
            else:
                self.take(queued)
        if not self.queue:
            self.asked = False

    def logon(self, message, kind, number):
        if kind != b"A" or message.get(98) != b"0":
            self.complain(f"no Logon: {message}")
            return self.close()
        if number < self.next_in:
            self.complain(f"Logon with MsgSeqNum {number}, expected {self.next_in}")
            return self.close()
        self.heart_bt = int(message.get(108))
        self.logged_on = True
        self.count["logons"] += 1
        self.send("A", [(98, "0"), (108, self.heart_bt)])
        if number > self.next_in:
            self.queue[number] = None
            self.ask_resend()
        else:
            self.next_in += 1
        if self.count["logons"] == 1 and self.args.drop_after:
            self.later(self.args.drop_after, self.arm)
        self.later(0.5, self.test)

    def test(self):
        if self.logged_on and not self.mute:
            self.test_pending = f"T{self.count['tests_sent']}"
            self.count["tests_sent"] += 1
            self.send("1", [(112, self.test_pending)])

    def ask_resend(self):
        if not self.asked:
            self.asked = True
            self.count["resends_asked"] += 1
            self.send("2", [(7, self.next_in), (16, 0)])

    def resend(self, begin, end):
        self.count["resends_answered"] += 1
        end = self.next_out - 1 if end == 0 else min(end, self.next_out - 1)
        gap = None
        fill = lambda start, new: self.write("4", start, [(123, "Y"), (36, new)], orig=stamp())
        for number in range(begin, end + 1):
            if number in self.sent:
                if gap is not None:
                    fill(gap, number)
                    gap = None
                msg_type, at, fields = self.sent[number]
                self.count["resent"] += 1
                self.write(msg_type, number, fields, orig=at)
            elif gap is None:
                gap = number
        if gap is not None:
            fill(gap, end + 1)

    def take(self, message):
        """A message with the expected number."""
        self.next_in += 1
        kind = message.get(35)
        if kind == b"0":
            self.count["tests_answered"] += message.get(112) is not None
        elif kind == b"1":
            self.count["tests_received"] += 1
            self.send("0", [(112, message.get(112))])
        elif kind == b"2":
            self.resend(int(message.get(7)), int(message.get(16)))
        elif kind == b"4":
            if message.get(123) != b"Y":
                self.complain(f"SequenceReset without gap fill: {message}")
            self.count["gap_fills_in"] += 1
            self.next_in = int(message.get(36))
        elif kind == b"5":
            self.send("5", [])
            self.close()
        elif kind in self.HANDLERS:
            self.HANDLERS[kind](self, message)
        else:
            self.complain(f"unexpected type {kind}: {message}")

    def keep_alive(self):
        now = time.monotonic()
        if not self.logged_on or self.mute:
            return
        if now - self.written_at >= self.heart_bt:
            self.send("0", [])
        if now - self.received_at >= 2.4 * self.heart_bt:
            self.complain("the client fell silent")
            self.close()
        elif now - self.received_at >= 1.2 * self.heart_bt and self.test_pending is None:
            self.test()

    # --- the planned fault -----------------------------------------------------------------------------------------

    def arm(self):
        """From the next new order on the venue is deaf and mute. A whole fill makes the client send one."""
        if self.lost_orders or not self.logged_on:
            return
        self.armed = True
        for order in self.orders:
            if order.leaves > 0:
                self.fill(order, order.leaves, "1")
                break
        self.later(0.3, self.arm)

    def lose(self, message):
        """The order that springs the trap, and whatever follows it."""
        self.count["lost_in"] += 1
        if message.get(35) == b"D":
            self.count["lost_orders_in"] += 1
            self.lost_orders.append(message.get(11).decode())
            self.record(type="lost", cl_ord_id=self.lost_orders[-1])
        if self.armed:
            self.armed, self.deaf, self.mute = False, True, True
            self.drop_tries = 0
            self.drop()

    def drop(self):
        """Executes once into the void, then closes."""
        self.count["fills_lost_out"] += self.fill_something()
        self.drop_tries += 1
        if self.count["fills_lost_out"] == 0 and self.drop_tries < 20:
            return self.later(0.02, self.drop)
        self.count["disconnects"] += 1
        self.refuse_until = time.monotonic() + 0.4
        self.later(0.05, self.close)
        self.later(0.15, self.fill_away)

    def fill_away(self):
        self.count["fills_away"] += self.fill_something()

    def fill_something(self):
        for order in self.orders:
            if order.leaves > 0:
                self.fill(order, LOT, "1")
                return 1
        return 0

    # --- orders ----------------------------------------------------------------------------------------------------

    def report(self, order, exec_type, more=(), exec_id=None, cl_ord_id=None):
        if exec_id is None:
            self.exec_count += 1
            exec_id = f"X{self.exec_count:08}"
        fields = [(37, order.order_id), (17, exec_id), (150, exec_type), (39, order.state), (11, cl_ord_id or order.id)]
        fields += [(1, "main"), (55, order.symbol), (54, order.side), (38, order.qty), (44, order.px), (59, order.tif)]
        fields += [(14, order.cum), (151, order.leaves), (6, order.px if order.cum else 0), (60, stamp()), *more]
        self.send("8", fields)
        if exec_type != "I":
            self.record(type="exec", exec_type=exec_type, cl_ord_id=order.id, root=order.root, exec_id=exec_id,
                        cum_qty=str(order.cum), ord_status=order.state, **{str(t): str(v) for t, v in more})

    def new(self, message):
        self.new_count += 1
        order = Order(message, f"O{self.new_count:08}")
        if order.id in self.by_id:
            return self.complain(f"ClOrdID {order.id} twice")
        self.record(type="request", msg_type="D", cl_ord_id=order.id, side=order.side, qty=str(order.qty), px=str(order.px))
        self.orders.append(order)
        self.by_id[order.id] = order
        if self.new_count % 20 == 0:
            order.state = "8"
            self.count["rejects"] += 1
            return self.report(order, "8", [(103, 99), (58, "every twentieth")])
        self.report(order, "0")
        parts = [order.qty] if order.qty < 2 * LOT else [LOT, order.qty - LOT]
        if order.tif == "3":
            for part in parts:
                self.fill(order, part, "2")
            return
        self.resting_count += 1
        if self.resting_count % 3 == 1:
            for at, part in enumerate(parts):
                self.later(0.25 + 0.15 * at, lambda part=part: self.fill(order, part, "1"))

    def fill(self, order, qty, liquidity):
        qty = min(qty, order.leaves)
        if qty <= 0:
            return
        order.cum += qty
        order.state = "2" if order.cum == order.qty else "1"
        fee = order.px * qty * (MAKER if liquidity == "1" else TAKER)
        self.position += qty if order.side == "1" else -qty
        self.fees += fee
        self.count["fills"] += 1
        self.count["partials"] += order.state == "1"
        self.report(order, "F", [(31, order.px), (32, qty), (12, fee), (13, 3), (851, liquidity)])

    def find(self, message, response_to):
        order = self.by_id.get(message.get(41).decode())
        if order is not None and order.state in "01":
            return order
        self.count["cancel_rejects"] += 1
        status = "8" if order is None else order.state
        self.send("9", [(37, "NONE" if order is None else order.order_id), (11, message.get(11)), (41, message.get(41)),
                        (39, status), (434, response_to), (102, 1 if order is None else 0), (60, stamp())])
        return None

    def cancel(self, message):
        order = self.find(message, 1)
        if order is None:
            return
        self.count["cancels"] += 1
        order.state = "4"
        cl_ord_id = message.get(11).decode()
        self.report(order, "4", [(41, message.get(41).decode())], cl_ord_id=cl_ord_id)

    def replace(self, message):
        order = self.find(message, 2)
        if order is None:
            return
        qty = Decimal(message.get(38).decode())
        if qty <= order.cum:
            self.count["cancel_rejects"] += 1
            return self.send("9", [(37, order.order_id), (11, message.get(11)), (41, message.get(41)), (39, order.state),
                                   (434, 2), (102, 0), (60, stamp())])
        self.count["replaces"] += 1
        orig, order.id = order.id, message.get(11).decode()
        order.ids.add(order.id)
        self.by_id[order.id] = order
        order.qty, order.px = qty, Decimal(message.get(44).decode())
        self.report(order, "5", [(41, orig)])

    def status(self, message):
        self.count["status"] += 1
        asked = message.get(11).decode()
        order = self.by_id.get(asked)
        request = [(790, message.get(790))] if message.get(790) else []
        if order is not None:
            return self.report(order, "I", request, exec_id="0")
        self.send("8", [(37, "NONE"), (17, "0"), (150, "I"), (39, "8"), (103, 5), (11, asked), (55, message.get(55)),
                        (54, message.get(54)), (14, 0), (151, 0), (6, 0), (60, stamp()), *request])

    def mass_status(self, message):
        self.count["mass_status"] += 1
        request = message.get(584)
        live = [order for order in self.orders if order.leaves > 0]
        for at, order in enumerate(live, 1):
            last = "Y" if at == len(live) else "N"
            self.report(order, "I", [(584, request), (911, len(live)), (912, last)], exec_id="0")
        if not live:
            self.send("8", [(37, "NONE"), (17, "0"), (150, "I"), (39, "8"), (55, "NA"), (54, "1"), (14, 0), (151, 0), (6, 0),
                            (584, request), (911, 0), (912, "Y")])

    HANDLERS = {b"D": new, b"F": cancel, b"G": replace, b"H": status, b"AF": mass_status}

    # --- the loop --------------------------------------------------------------------------------------------------

    def run(self):
        listener = socket.create_server(("127.0.0.1", self.args.port))
        self.selector.register(listener, selectors.EVENT_READ, "listener")
        self.selector.register(sys.stdin, selectors.EVENT_READ, "end")
        print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
        while True:
            due = self.timers[0][0] - time.monotonic() if self.timers else 0.1
            for key, _ in self.selector.select(max(0.0, min(due, 0.1))):
                if key.data == "listener":
                    self.open(listener)
                elif key.data == "end":
                    if not sys.stdin.buffer.read1(64):
                        return
                elif self.conn is not None:
                    self.readable()
            while self.timers and self.timers[0][0] <= time.monotonic():
                heapq.heappop(self.timers)[2]()
            self.keep_alive()

    def summary(self):
        return {
            "count": self.count,
            "wrong": self.wrong,
            "position": str(self.position),
            "fees": str(self.fees),
            "lost_orders": self.lost_orders,
            "next_in": self.next_in,
            "orders": {
                order.root: {"ids": sorted(order.ids), "side": order.side, "qty": str(order.qty), "cum_qty": str(order.cum),
                             "open": order.leaves > 0}
                for order in self.orders
            },
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--drop-after", type=float, default=0.0)
    parser.add_argument("--tls-cert")
    parser.add_argument("--tls-key")
    venue = Venue(parser.parse_args())
    venue.run()
    (venue.dir / "summary.json").write_text(json.dumps(venue.summary(), indent=1), encoding="utf-8")


main()
