"""Figures of `pulsegate standalone`: durable, on the disk of the repository, beside what that disk does by itself."""
import mmap
import os
import statistics
import sys
import time

import bench

SYNCS = 2000
# The size of a journal frame at low rates.
BLOCK = 4096
PACED_RATE = 1000


def say(text):
    print(text, flush=True)


def disk(folder, pace=None):
    """Microseconds of one write of a block with fdatasync, and of one O_DIRECT|O_DSYNC write, on a pre-written file: sorted. With a
    pace so many begin in a second, else one follows the other."""
    path = os.path.join(folder, "disk")
    with open(path, "wb") as file:
        file.write(bytes(BLOCK * 256))
        os.fsync(file.fileno())
    block = mmap.mmap(-1, BLOCK)  # page-aligned, as O_DIRECT asks
    block.write(b"x" * BLOCK)
    spans = {}
    for name, flags, sync in (("write + fdatasync", 0, True), ("O_DIRECT, O_DSYNC write", os.O_DIRECT | os.O_DSYNC, False)):
        try:
            file = os.open(path, os.O_WRONLY | flags)
        except OSError:
            continue  # the file system has no O_DIRECT
        found = []
        due = time.perf_counter()
        for number in range(SYNCS):
            if pace:
                due += 1 / pace
                time.sleep(max(0, due - time.perf_counter()))
            began = time.perf_counter_ns()
            os.pwrite(file, block, BLOCK * (number % 256))
            if sync:
                os.fdatasync(file)
            found.append((time.perf_counter_ns() - began) / 1e3)
        os.close(file)
        spans[name] = sorted(found)
    return spans


def at(spans, share):
    return spans[min(len(spans) - 1, int(len(spans) * share))]


def disk_table(spans):
    """What disk() found, in Markdown."""
    say("| this disk, one block of 4 KiB | p50 us | p90 us | p99 us | p99.9 us |\n|---|---:|---:|---:|---:|")
    for name, found in spans.items():
        say(f"| {name} | " + " | ".join(f"{at(found, share):,.0f}" for share in (0.5, 0.9, 0.99, 0.999)) + " |")


def row(name, runs):
    def middle(*path):
        values = []
        for value in runs:
            for part in path:
                value = value and value[part]
            values.append(value)
        return None if None in values else statistics.median(values)
    def shown(value, form):
        return "-" if value is None else form.format(value)
    quantiles = " / ".join(shown(middle("latency_us", name), "{:,.0f}") for name in ("p50", "p99", "p999"))
    disturbed = "; ".join(dict.fromkeys(f"DISTURBED: {run['disturbed']}" for run in runs if run["disturbed"])) or "ok"
    errors = sum(run["failed"] + run["unsent"] + run["unanswered"] for run in runs)
    say(f"| {name} | {shown(middle('messages_per_second'), '{:,.0f}')} | {shown(middle('server', 'cpu_us_per_message'), '{:.2f}')} "
        f"| {quantiles} | {errors} | {disturbed} |")
    return middle("latency_us", "p50")


def table(asked):
    """All rows of standalone."""
    with bench.Stage() as stack:
        folder = stack.enter_context(bench.scratch())
        spans = disk(folder)
        disk_table(spans)
        server = stack.enter_context(bench.standalone(os.path.join(folder, "data"), bench.SERVER_CORE))
        say(f"\n{bench.facts()}\n")
        say("| standalone, journal synced, 128 B | msg/s | CPU us/msg | p50 / p99 / p99.9 us | errors | |\n"
            "|---|---:|---:|---:|---:|---|")

        def runs(mode, url=server.ws, **options):
            return [bench.load(mode, url, warm_up=1, time=3, server_pid=server.pid, **options) for _ in range(asked.rounds)]
        row("produce 16 x 1", runs("produce", connections=16, depth=1))
        row("produce 64 x 16", runs("produce", connections=64, depth=16))
        p50 = row(f"produce {PACED_RATE:,} msg/s, 16 connections", runs("produce", connections=16, rate=PACED_RATE))
        row(f"end-to-end {PACED_RATE:,} msg/s, 16 and 16", runs("end-to-end", connections=16, rate=PACED_RATE))
        row("native produce 16 x 1", runs("produce", server.native, connections=16, depth=1))
        row("native produce 64 x 16", runs("produce", server.native, connections=64, depth=16))
        row("native end-to-end 16 x 16", runs("end-to-end", server.native, connections=16, depth=16))
    sync = at(spans["write + fdatasync"], 0.5)
    if p50 is None:
        print("standalone: nothing was confirmed", file=sys.stderr)
    else:
        say(f"\np50 at {PACED_RATE:,} msg/s is {p50 / sync:.2f} times one write with fdatasync by itself.\n")
