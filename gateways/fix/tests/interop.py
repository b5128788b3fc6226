"""Read and write FIX with `simplefix`, an implementation that is not ours.

parse    reads a byte stream from standard input and prints one line per message, fields as tag=value joined by `|`; checks
         BodyLength and CheckSum by its own arithmetic and exits 1 when one is wrong.
encode   writes messages to standard output as bytes.
Exit     3 when simplefix is not installed.
"""

import sys

try:
    import simplefix
except ImportError:
    sys.exit(3)


def check(raw: bytes) -> None:
    body = raw[raw.index(b"\x0135=") + 1 : raw.rindex(b"10=")]
    stated = int(raw.split(b"\x019=")[1].split(b"\x01")[0])
    total = sum(raw[: raw.rindex(b"10=")]) % 256
    if stated != len(body) or b"%03d" % total != raw[-4:-1]:
        sys.exit(f"wrong length or checksum: {raw!r}")


def parse() -> None:
    parser = simplefix.FixParser()
    stream = sys.stdin.buffer.read()
    for start in range(0, len(stream), 17):
        parser.append_buffer(stream[start : start + 17])
        while (message := parser.get_message()) is not None:
            check(message.encode(raw=True))
            print("|".join(f"{int(tag)}={value.decode()}" for tag, value in message.pairs))


def encode() -> None:
    for number in range(1, 51):
        message = simplefix.FixMessage()
        message.append_pair(8, "FIX.4.4", header=True)
        message.append_pair(35, "8", header=True)
        message.append_pair(49, "VENUE", header=True)
        message.append_pair(56, "TERCEL", header=True)
        message.append_pair(34, number, header=True)
        message.append_utc_timestamp(52, timestamp=1_790_000_000.125 + number, header=True)
        message.append_pair(37, f"V{number}")
        message.append_pair(17, f"X{number}")
        message.append_pair(150, "F")
        message.append_pair(39, "1")
        message.append_pair(55, "BTCUSDT")
        message.append_pair(54, 1 + number % 2)
        message.append_pair(31, f"{61_800 + number}.{number % 10}")
        message.append_pair(32, f"0.{number:03d}")
        message.append_data(95, 96, b"raw\x01data%d" % number)
        sys.stdout.buffer.write(message.encode())


{"parse": parse, "encode": encode}[sys.argv[1]]()
