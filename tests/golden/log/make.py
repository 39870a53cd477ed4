"""Writes the golden files beside it from docs/log-format.md alone, sharing no code with the program: python3 make.py"""

import pathlib
import struct

STORE, EPOCH = 0x0123456789ABCDEF, 2


def crc32c(data, crc=0):
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


assert crc32c(b"123456789") == 0xE3069283, "the check value of CRC-32C"


def record(kind, key, sub, body=b"", wall_ms=0, messages=0):
    head = struct.pack("<IB3xQQQI", len(body), kind, key, sub, wall_ms, messages)
    whole = head + struct.pack("<I", crc32c(head + body)) + body
    return whole + bytes(-len(whole) % 8)


def frame(home, place, position, records, previous=0):
    body = b"".join(records)
    sums = b"".join(record[36:40] for record in records)
    head = struct.pack("<4sHHQQQQ", b"PGLF", 1, home, STORE, EPOCH, place, position)
    head += struct.pack("<IIIII", len(body), len(records), previous, crc32c(sums), 0)
    checksum = crc32c(head)
    whole = head + struct.pack("<I", checksum) + body
    return whole + bytes(-len(whole) % 4096), checksum


def name(text):
    return struct.pack("<I", len(text)) + text


def acks(below, ranges, partial):
    out = struct.pack("<QQI", *below, len(ranges))
    out += b"".join(struct.pack("<QQQ", *item) for item in ranges)
    out += struct.pack("<I", len(partial))
    for ledger, entry, words in partial:
        out += struct.pack(f"<QQI{len(words)}Q", ledger, entry, len(words), *words)
    return out


def dedup(whole):
    names = [(41, b"producer"), (7, b"")]
    return struct.pack("<BQQI", whole, 7, 2, len(names)) + b"".join(struct.pack("<Q", n) + name(t) for n, t in names)


TOPIC = name(b"persistent://public/default/t") + b"properties"
CURSOR = name(b"s") + acks((7, 0), [(7, 2, 5)], [(7, 5, [0xF0, 1])]) + b"p"
first, previous = frame(1, 0, 0, [
    record(5, 3, 0, TOPIC, 1000),
    record(2, 7, 3, b"", 1001),
    record(1, 7, 0, b"hello", 1002, 1),
    record(1, 7, 1, bytes(range(256)) * 20, 1003, 12),
    record(7, 3, 9, CURSOR, 1004),
])
second, previous = frame(1, 0, len(first), [
    record(8, 3, 9, acks((7, 1), [(7, 6, 7)], [(7, 5, [])]), 1005),
    record(12, 3, 6, b"", 1006),
    record(13, 3, 0, b"", 1006),
    record(14, 3, 0, dedup(1), 1006),
    record(14, 3, 0, dedup(0), 1006),
    record(15, 3, 0, b"", 1006),
    record(3, 7, 2, b"", 1006),
    record(4, 7, 0, b"", 1007),
    record(9, 3, 9, b"", 1008),
    record(6, 3, 0, b"", 1009),
], previous)
beat, previous = frame(1, 0, len(first) + len(second), [], previous)
LONG = bytes(range(256)) * 20
PIECES = struct.pack("<10Q", 0, 0, 4096, 1002, 0, 1, 4096, 8192, 1003, 1)
# In a checkpoint the names are in their order.
SEQUENCES = struct.pack("<BQQI", 1, 7, 2, 2) + struct.pack("<Q", 7) + name(b"") + struct.pack("<Q", 41) + name(b"producer")
checkpoint, _ = frame(3, 5, 0, [
    record(11, 5, EPOCH, struct.pack("<QIQQ", 0x20000, 0xCAFEF00D, 30, 70)),
    record(5, 3, 0, TOPIC),
    record(12, 3, 6),
    record(13, 3, 0),
    record(14, 3, 0, SEQUENCES),
    record(2, 7, 3, b"", 1001),
    record(10, 7, 2, struct.pack("<QQQ", 13, 5125, 100) + PIECES, 1006),
    record(1, 7, 2, b"again", 1004, 1),
    record(3, 7, 3, b"", 1006),
    record(7, 3, 9, CURSOR),
    record(16, 3, 114),
    record(17, 11, 0),
])
who = [record(5, 3, 0, TOPIC), record(2, 7, 3, b"", 1002)]
piece, _ = frame(2, 7, 0, who + [record(1, 7, 0, b"hello", 1002, 1)])
segment = piece + frame(2, 7, 4096, [record(1, 7, 1, LONG, 1003, 12)])[0]

folder = pathlib.Path(__file__).parent
for file, data in {"journal": first + second + beat, "checkpoint": checkpoint, "segment": segment}.items():
    (folder / f"{file}.bin").write_bytes(data)
