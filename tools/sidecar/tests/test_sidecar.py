import json
import math
import os
import random
import struct
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
import tercel_sidecar as sidecar


def write_row(fd, rows, number, ts_ns, mid, features):
    row = bytearray(sidecar.FEATURE_ROW_LEN)
    sidecar.FEATURE_ROW.pack_into(row, 0, 0, number, ts_ns, mid, *features)
    struct.pack_into("<I", row, 124, sidecar.crc32c(row[:124]))
    os.pwrite(fd, row, sidecar.FEATURE_HEADER_LEN + (number % rows) * sidecar.FEATURE_ROW_LEN)
    os.pwrite(fd, struct.pack("<Q", number + 1), 16)


def make_features(path, rows):
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    os.pwrite(fd, sidecar.FEATURE_HEADER.pack(sidecar.FEATURE_MAGIC, 1, rows, 0), 0)
    os.ftruncate(fd, sidecar.FEATURE_HEADER_LEN + rows * sidecar.FEATURE_ROW_LEN)
    return fd


class Crc(unittest.TestCase):
    def test_check_value_of_the_catalogue(self):
        self.assertEqual(sidecar.crc32c(b"123456789"), 0xE3069283)


class Model(unittest.TestCase):
    def test_it_learns_which_feature_moves_the_mid(self):
        """The next move follows feature 0 in 90 % of cases: the fitted weight and the hit rate must show it."""
        rng = random.Random(7)
        forecaster = sidecar.Forecaster(500_000_000)
        mid, ts = 60_000.0, 0
        for _ in range(4_000):
            features = [rng.gauss(0, 1) for _ in range(6)]
            forecaster.feed(ts, mid, features)
            ts += 30_000_000
            up = (features[0] > 0) == (rng.random() < 0.9)
            mid += 0.1 if up else -0.1
        weights = forecaster.model.weights
        self.assertGreater(weights[0], 3 * max(abs(w) for w in weights[1:6]), weights)
        self.assertGreater(forecaster.hits / forecaster.judged, 0.8)

    def test_nan_gives_no_forecast(self):
        forecaster = sidecar.Forecaster(500_000_000)
        self.assertIsNone(forecaster.feed(0, math.nan, [0.0] * 6))
        self.assertIsNone(forecaster.feed(0, 1.0, [math.inf] + [0.0] * 5))
        self.assertEqual(forecaster.model.count, 0)


class Reader(unittest.TestCase):
    def test_torn_and_overwritten_rows_are_counted_not_used(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "features")
            fd = make_features(path, 8)
            reader = sidecar.FeatureReader(path)
            self.assertEqual(reader.poll(), [])
            write_row(fd, 8, 0, 1, 2.0, [0.0] * 6)
            write_row(fd, 8, 1, 2, 2.0, [0.0] * 6)
            os.pwrite(fd, b"\xff", sidecar.FEATURE_HEADER_LEN + 40)
            self.assertEqual([row[0] for row in reader.poll()], [2])
            self.assertEqual(reader.torn, 1)
            for number in range(2, 30):
                write_row(fd, 8, number, number, 2.0, [0.0] * 6)
            self.assertEqual([row[0] for row in reader.poll()], [26, 27, 28, 29])
            self.assertEqual(reader.lapped, 24)

    def test_a_foreign_file_is_refused(self):
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"x" * 200)
            file.flush()
            with self.assertRaises(ValueError):
                sidecar.FeatureReader(file.name)


class Process(unittest.TestCase):
    def test_it_publishes_a_whole_slot_and_says_what_it_did(self):
        with tempfile.TemporaryDirectory() as folder:
            fd = make_features(os.path.join(folder, "features"), 4096)
            with open(os.path.join(folder, "signals"), "wb") as file:
                file.write(bytes(128))
            script = os.path.join(os.path.dirname(__file__), "..", "tercel_sidecar.py")
            process = subprocess.Popen(
                [sys.executable, script, "--run-dir", folder, "--slot", "1", "--schema", "3", "--model-id", "9"],
                stdout=subprocess.PIPE, text=True,
            )
            try:
                time.sleep(0.5)
                mid = 60_000.0
                for number in range(400):
                    mid += 0.1 if number % 3 else -0.1
                    write_row(fd, 4096, number, 1_000 + number * 30_000_000, mid, [0.1 * (number % 5)] * 6)
                time.sleep(0.5)
            finally:
                process.terminate()
                out, _ = process.communicate(timeout=10)
            summary = json.loads(out)
            self.assertEqual(summary["rows"], 400)
            with open(os.path.join(folder, "signals"), "rb") as file:
                slot = file.read()[64:128]
            sequence, version, schema, model, value, confidence, ts_features, _, publish_seq, flags = sidecar.SLOT.unpack_from(slot)
            self.assertEqual((sequence % 2, version, schema, model, flags), (0, 1, 3, 9, 1))
            self.assertEqual(struct.unpack_from("<I", slot, 60)[0], sidecar.crc32c(slot[4:60]))
            self.assertEqual(ts_features, 1_000 + 399 * 30_000_000)
            self.assertTrue(math.isfinite(value) and 0 <= confidence <= 1)
            self.assertGreater(publish_seq, 0)


if __name__ == "__main__":
    unittest.main()
