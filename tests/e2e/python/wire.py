#!/usr/bin/env python3
"""Read both sides' records of a FIX 4.4 order session with `simplefix`; imports nothing of Tercel.

Input    LOG, bytes as they passed the acceptor's socket (`<ts> <wall> in|out <bytes>`, docs/reference/venue-log.md), and with
         --store FILE the client's message store, whose kept messages are found by their frame alone.
Checks   BodyLength and CheckSum of every message by arithmetic of this file; CompIDs; every number of both directions once as
         an original and none missing that is not resent or gap-filled; nothing but SequenceReset is ever resent by the client,
         so no order leaves twice; every ClOrdID of D, F and G once; what the store kept is byte for byte what arrived under
         that number, or did not arrive at all.
Output   one JSON object with counts and what is wrong. Exit 1 when anything is, 3 when simplefix is not installed.
"""
import argparse
import json
import re
import sys
from collections import Counter
from pathlib import Path

try:
    import simplefix
except ImportError:
    sys.exit(3)

REQUESTS = ("D", "F", "G")


def bytes_of(text):
    unescape = lambda m: bytes([int(m[1], 16)]) if m[1] else b"\x01"
    return re.sub(rb"\\x([0-9A-Fa-f]{2})|\|", unescape, text.encode("ascii"))


def frame_fault(raw):
    body_at, trailer_at = raw.index(b"\x0135=") + 1, raw.rindex(b"\x0110=") + 1
    if int(raw[raw.index(b"\x019=") + 3 : body_at - 1]) != trailer_at - body_at:
        return "wrong BodyLength"
    if raw[trailer_at + 3 :] != b"%03d\x01" % (sum(raw[:trailer_at]) % 256):
        return "wrong CheckSum"
    return None


class Side:
    """One direction of the session, over all its connections."""

    def __init__(self, name, client):
        self.name, self.client = name, client
        self.parser, self.pending = simplefix.FixParser(), b""
        self.count, self.wrong = Counter(), []
        self.originals, self.covered = {}, set()
        self.requests, self.exec_ids = Counter(), {}
        self.cut = 0

    def feed(self, chunk):
        # A Logon opens a connection: what the last one left unfinished never became a message.
        if re.match(rb"8=FIX[^\x01]*\x019=\d+\x0135=A\x01", chunk) and self.pending:
            self.parser, self.pending = simplefix.FixParser(), b""
            self.cut += 1
        self.parser.append_buffer(chunk)
        self.pending += chunk
        while (message := self.parser.get_message()) is not None:
            raw = message.encode(raw=True)
            if not self.pending.startswith(raw):
                self.wrong.append(f"{self.name}: bytes between messages before {raw!r}")
                self.pending = self.pending[self.pending.index(raw) :]
            self.pending = self.pending[len(raw) :]
            self.message(message, raw)

    def message(self, message, raw):
        get = lambda tag: (message.get(tag) or b"").decode()
        fail = lambda what: self.wrong.append(f"{self.name}: {what}: {raw!r}")
        kind, number, poss_dup = get(35), int(get(34)), get(43) == "Y"
        self.count[kind] += 1
        if fault := frame_fault(raw):
            fail(fault)
        if (get(49), get(56)) != (("TERCEL", "VENUE") if self.client else ("VENUE", "TERCEL")):
            fail("CompIDs")
        if poss_dup:
            self.count["PossDup"] += 1
            if self.client and kind != "4":
                fail("resent by the client")
            if not get(122):
                fail("PossDup without OrigSendingTime")
        elif number in self.originals:
            fail("MsgSeqNum used twice")
        else:
            self.originals[number] = raw
        self.covered.add(number)
        if kind == "4":
            if get(123) != "Y":
                fail("SequenceReset that is no gap fill")
            self.covered.update(range(number, int(get(36))))
        if self.client and kind in REQUESTS:
            self.requests[get(11)] += 1
            if self.requests[get(11)] > 1:
                fail("ClOrdID used twice")
        if not self.client and kind == "8" and get(150) != "I":
            body = raw[raw.index(b"\x0137=") :]
            body = body[: body.index(b"\x0110=")]
            if self.exec_ids.setdefault(get(17), body) != body:
                fail("two executions under one ExecID")

    def end(self):
        missing = sorted(set(range(1, max(self.covered, default=0) + 1)) - self.covered)
        if missing:
            self.wrong.append(f"{self.name}: numbers {missing[:10]} neither sent, resent nor gap-filled")
        return {"messages": sum(n for k, n in self.count.items() if k != "PossDup"), "types": dict(self.count),
                "last": max(self.covered, default=0), "cut": self.cut}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path)
    parser.add_argument("--store", type=Path)
    args = parser.parse_args()
    sides = {"in": Side("client", True), "out": Side("venue", False)}
    for line in args.log.read_text(encoding="ascii").splitlines():
        _, _, direction, *rest = line.split(" ", 3)
        if direction in sides:
            sides[direction].feed(bytes_of(rest[0]))
    ends = {side.name: side.end() for side in sides.values()}
    wrong = [what for side in sides.values() for what in side.wrong]
    client = sides["in"]
    if args.store:
        kept = re.findall(rb"8=FIX\.4\.4\x019=\d+\x0135=[DFG]\x01[ -~\x01]*?\x0110=\d{3}\x01", args.store.read_bytes())
        reader, numbers, never_arrived = simplefix.FixParser(), set(), 0
        for raw in kept:
            reader.append_buffer(raw)
            message = reader.get_message()
            number = int(message.get(34))
            if fault := frame_fault(raw):
                wrong.append(f"store: {fault}: {raw!r}")
            if number in numbers:
                wrong.append(f"store: MsgSeqNum {number} twice")
            numbers.add(number)
            arrived = client.originals.get(number)
            never_arrived += arrived is None
            if arrived not in (None, raw):
                wrong.append(f"store: {number} is not what arrived: {raw!r}, {arrived!r}")
        lost = [n for n, raw in client.originals.items() if re.search(rb"\x0135=[DFG]\x01", raw) and n not in numbers]
        if lost:
            wrong.append(f"store: requests {lost[:10]} were sent without being kept")
        ends["store"] = {"kept": len(kept), "never_arrived": never_arrived}
    print(json.dumps({**ends, "requests": sum(client.requests.values()), "executions": len(sides["out"].exec_ids), "wrong": wrong}))
    sys.exit(1 if wrong else 0)


main()
