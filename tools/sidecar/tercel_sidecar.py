"""Publish next-move forecasts from an online logistic regression to the engine's signal slots.

Input    feature rows of 128 bytes that the engine writes to a ring file (`features`): time, mid and six features.
Output   one 64-byte slot in the file `signals`: value in bps, confidence, model id, schema, time of the newest input row and
         of publication, a sequence and a CRC32C.
Timing   polls every few milliseconds; a row that was overwritten before it was read is counted, never waited for.
Failure  NaN or stale input withdraws the value: `absent` in the engine, which trades on without it. The
         engine never waits for this process, and killing it at any time is safe.
Source   online logistic regression by stochastic gradient with AdaGrad steps (Duchi, Hazan, Singer, JMLR 12, 2011) on queue
         imbalance and order-flow imbalance (Cont, Kukanov, Stoikov, J. Financial Econometrics 12, 2014).

Needs nothing but Python 3.8.
"""

import argparse
import collections
import json
import math
import os
import signal
import struct
import sys
import time

FEATURE_ROW = struct.Struct("<QQqd6d")  # sequence, row number, time ns, mid, features; then CRC32C at 124
FEATURE_ROW_LEN = 128
FEATURE_HEADER = struct.Struct("<8sIIQ")  # magic, version, rows, rows written so far
FEATURE_HEADER_LEN = 128
FEATURE_MAGIC = b"TCLFEAT1"
FEATURES = ("imbalance_1", "imbalance_5", "ofi_250ms", "trade_flow_250ms", "micro_dev_bps", "spread_bps")

SLOT_LEN = 64
# sequence, version, schema, model id, value, confidence, ts_features, ts_published, publish_seq, flags; then CRC32C at 60
SLOT = struct.Struct("<IHHQddqqQI")
SLOT_VERSION = 1
FLAG_VALID = 1


def crc32c_table():
    """Byte table of CRC-32C (Castagnoli), reflected polynomial 0x82F63B78 (RFC 3720, appendix B.4)."""
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return table


CRC_TABLE = crc32c_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


class FeatureReader:
    """Rows of the engine's feature ring, oldest unread first. Torn or overwritten rows are skipped and counted."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_RDONLY)
        head = os.pread(self.fd, FEATURE_HEADER_LEN, 0)
        if len(head) < FEATURE_HEADER.size:
            raise ValueError(f"{path}: {len(head)} bytes, a feature file has at least {FEATURE_HEADER_LEN}")
        magic, version, rows, _ = FEATURE_HEADER.unpack_from(head)
        if magic != FEATURE_MAGIC or version != 1 or rows == 0:
            raise ValueError(f"{path}: magic {magic!r} version {version} rows {rows}; wanted {FEATURE_MAGIC!r} version 1")
        self.rows = rows
        self.next = None
        self.lapped = 0
        self.torn = 0

    def poll(self):
        """All new rows as (ts_ns, mid, features)."""
        head = os.pread(self.fd, FEATURE_HEADER.size, 0)
        if len(head) < FEATURE_HEADER.size:
            return []
        written = FEATURE_HEADER.unpack(head)[3]
        if self.next is None:
            self.next = written
        if written - self.next > self.rows // 2:
            self.lapped += written - self.next - self.rows // 2
            self.next = written - self.rows // 2
        out = []
        while self.next < written:
            at = FEATURE_HEADER_LEN + (self.next % self.rows) * FEATURE_ROW_LEN
            row = os.pread(self.fd, FEATURE_ROW_LEN, at)
            number = self.next
            self.next += 1
            if len(row) < FEATURE_ROW_LEN or struct.unpack_from("<I", row, 124)[0] != crc32c(row[:124]):
                self.torn += 1
                continue
            _, row_number, ts_ns, mid, *features = FEATURE_ROW.unpack_from(row)
            if row_number != number:
                self.lapped += 1
                continue
            out.append((ts_ns, mid, features))
        return out


class OnlineLogit:
    """Logistic regression P(next mid move is up), one example at a time.

    Shape: `n` features plus a bias; features are standardised by running mean and variance. Labels are +1 or -1.
    """

    def __init__(self, n, step=0.05, decay=1e-4):
        self.weights = [0.0] * (n + 1)
        self.squares = [1e-8] * (n + 1)
        self.step = step
        self.decay = decay
        self.count = 0
        self.mean = [0.0] * n
        self.var = [1.0] * n
        self.trained = 0

    def observe(self, features):
        """Updates the running mean and variance (exponential after 2,000 rows)."""
        self.count += 1
        rate = max(1.0 / self.count, 1.0 / 2000.0)
        for i, x in enumerate(features):
            delta = x - self.mean[i]
            self.mean[i] += rate * delta
            self.var[i] = (1.0 - rate) * (self.var[i] + rate * delta * delta)

    def standard(self, features):
        scaled = [
            max(-5.0, min(5.0, (x - m) / math.sqrt(v) if v > 1e-18 else 0.0))
            for x, m, v in zip(features, self.mean, self.var)
        ]
        scaled.append(1.0)
        return scaled

    def probability(self, scaled):
        score = sum(w * x for w, x in zip(self.weights, scaled))
        score = max(-30.0, min(30.0, score))
        return 1.0 / (1.0 + math.exp(-score))

    def learn(self, scaled, up):
        error = (1.0 if up else 0.0) - self.probability(scaled)
        for i, x in enumerate(scaled):
            gradient = error * x - self.decay * self.weights[i]
            self.squares[i] += gradient * gradient
            self.weights[i] += self.step * gradient / math.sqrt(self.squares[i])
        self.trained += 1


class Forecaster:
    """Turns rows into examples: the label of a row is the first mid move within `horizon_ns` after it."""

    def __init__(self, horizon_ns):
        self.horizon_ns = horizon_ns
        self.model = OnlineLogit(len(FEATURES))
        self.pending = collections.deque()
        self.move_bps = 0.0
        self.moves = 0
        self.last_mid = None
        self.hits = 0
        self.judged = 0

    def feed(self, ts_ns, mid, features):
        """One row; returns (value in bps, confidence) or None while there is nothing to say."""
        if not (math.isfinite(mid) and mid > 0 and all(math.isfinite(x) for x in features)):
            return None
        if self.last_mid is not None and mid != self.last_mid:
            up = mid > self.last_mid
            size_bps = abs(mid / self.last_mid - 1.0) * 1e4
            self.moves += 1
            rate = max(1.0 / self.moves, 0.01)
            self.move_bps += rate * (size_bps - self.move_bps)
            while self.pending:
                row_ts, scaled, guess_up = self.pending.popleft()
                if ts_ns - row_ts <= self.horizon_ns:
                    self.model.learn(scaled, up)
                    self.judged += 1
                    self.hits += guess_up == up
        self.last_mid = mid
        while self.pending and ts_ns - self.pending[0][0] > self.horizon_ns:
            self.pending.popleft()  # no move in time: no example
        self.model.observe(features)
        scaled = self.model.standard(features)
        p_up = self.model.probability(scaled)
        # One example in flight per 20 ms is enough: neighbours are nearly the same row.
        if not self.pending or ts_ns - self.pending[-1][0] >= 20_000_000:
            self.pending.append((ts_ns, scaled, p_up > 0.5))
        if self.model.trained < 30:
            return None
        edge = 2.0 * p_up - 1.0
        return edge * self.move_bps, abs(edge)


class SlotWriter:
    """The signal slot: a seqlock of 64 bytes. An odd sequence means that a write is under way."""

    def __init__(self, path, slot, schema, model_id):
        self.fd = os.open(path, os.O_RDWR)
        self.at = slot * SLOT_LEN
        self.schema = schema
        self.model_id = model_id
        head = os.pread(self.fd, 4, self.at)
        self.sequence = (struct.unpack("<I", head)[0] if len(head) == 4 else 0) & ~1
        self.publish_seq = 0

    def publish(self, value, confidence, ts_features, ts_published):
        self.publish_seq += 1
        os.pwrite(self.fd, struct.pack("<I", (self.sequence + 1) & 0xFFFFFFFF), self.at)
        self.sequence = (self.sequence + 2) & 0xFFFFFFFF or 2  # 0 means never written
        valid = math.isfinite(value)
        body = SLOT.pack(
            self.sequence, SLOT_VERSION, self.schema, self.model_id, value if valid else 0.0, confidence,
            ts_features, ts_published, self.publish_seq, FLAG_VALID if valid else 0,
        )
        os.pwrite(self.fd, body[4:] + struct.pack("<I", crc32c(body[4:])), self.at + 4)
        os.pwrite(self.fd, body[:4], self.at)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--run-dir", required=True, help="directory of the running engine, with `features` and `signals`")
    parser.add_argument("--slot", type=int, default=0, help="slot number of the signal (default 0)")
    parser.add_argument("--schema", type=int, default=1)
    parser.add_argument("--model-id", type=int, default=1)
    parser.add_argument("--horizon-ms", type=float, default=500.0, help="how far ahead the next mid move may lie")
    parser.add_argument("--poll-ms", type=float, default=4.0)
    parser.add_argument("--max-seconds", type=float, default=0.0, help="stop by itself (0: never)")
    args = parser.parse_args(argv)

    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    signal.signal(signal.SIGINT, lambda *_: stop.append(True))
    features_path = os.path.join(args.run_dir, "features")
    signals_path = os.path.join(args.run_dir, "signals")
    deadline = time.monotonic() + 30.0
    while not (os.path.exists(features_path) and os.path.exists(signals_path)):
        if stop or time.monotonic() > deadline:
            print(f"tercel_sidecar: no {features_path} and {signals_path} after 30 s; is the engine running?", file=sys.stderr)
            return 1
        time.sleep(0.05)
    reader = FeatureReader(features_path)
    slot = SlotWriter(signals_path, args.slot, args.schema, args.model_id)
    forecaster = Forecaster(int(args.horizon_ms * 1e6))
    started = time.monotonic()
    parent = os.getppid()
    rows = 0
    while not stop and not (args.max_seconds and time.monotonic() - started > args.max_seconds):
        if os.getppid() != parent:
            break  # the process that started us is gone
        batch = reader.poll()
        answer = None
        for ts_ns, mid, values in batch:
            rows += 1
            answer = forecaster.feed(ts_ns, mid, values)
        if batch:
            # Engine time, not ours: with a fast-forwarded venue the two differ.
            newest = batch[-1][0]
            value, confidence = answer if answer is not None else (math.nan, 0.0)
            slot.publish(value, confidence, newest, newest)
        time.sleep(args.poll_ms / 1e3)
    summary = {
        "rows": rows,
        "published": slot.publish_seq,
        "trained": forecaster.model.trained,
        "hit_rate": forecaster.hits / forecaster.judged if forecaster.judged else None,
        "lapped": reader.lapped,
        "torn": reader.torn,
        "weights": dict(zip(FEATURES + ("bias",), forecaster.model.weights)),
    }
    print(json.dumps(summary))
    return 0


if __name__ == "__main__":
    sys.exit(main())
