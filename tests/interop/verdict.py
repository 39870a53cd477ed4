"""Runs pytest and holds its results against a list of what may fail or be skipped, and why."""
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import servers

HERE = Path(__file__).resolve().parent


def waiting_list(path):
    """Test ids that may fail, each with the reason given."""
    listed = {}
    for line in path.read_text().splitlines():
        test, _, reason = line.partition(" # ")
        if test.strip() and not test.startswith("#"):
            listed[test.strip()] = reason.strip()
    return listed


def pytest(name, folder, options, selection, k):
    """One run of the cases in `folder`, into which nothing is written; returns id to outcome and text."""
    servers.ARTEFACTS.mkdir(parents=True, exist_ok=True)
    results = servers.ARTEFACTS / f"{name}.jsonl"
    results.write_text("")
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(HERE), "PYTEST_RESULTS": str(results)}
    junit = servers.ARTEFACTS / f"{name}.xml"
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "--no-header", "-p", "results", "-p", "no:cacheprovider",
               f"--rootdir={folder}", f"--junit-xml={junit}", *options, *selection, *(["-k", k] if k else [])]
    log = servers.ARTEFACTS / f"{name}.log"
    with open(log, "wb") as out:
        status = subprocess.run(command, stdout=out, stderr=out, env=environment, cwd=servers.ARTEFACTS).returncode
    # 0: all passed, 1: some failed, 5: none selected. Anything else is not a verdict on the server.
    if status not in (0, 1, 5):
        sys.exit(f"{log.read_text(errors='replace')[-4000:]}\npytest ended with {status}, log: {log}")
    return {row["id"]: row for row in map(json.loads, results.read_text().splitlines())}


def judge(name, rows, listed, partial):
    """Prints what differs from the list; returns true when nothing does. `partial`: not all cases were asked for."""
    by = {outcome: [test for test, row in rows.items() if row["outcome"] == outcome]
          for outcome in ("passed", "failed", "skipped")}
    surprises = [test for test in by["failed"] if test not in listed]
    struck = [test for test in by["passed"] if test in listed]
    for test in surprises:
        print(f"RED    {test}\n" + "\n".join("         " + line for line in rows[test]["text"].splitlines()[-6:]))
    for test in struck:
        print(f"RED    {test} passes: strike it off the list")
    # A case that silently does not run is as bad as one that fails; Java's list of skips is its own.
    unseen = [] if partial else [test for test in by["skipped"] if test not in listed]
    for test in unseen:
        print(f"RED    {test} was skipped, and the list does not say why")
    gone = sorted(listed.keys() - rows.keys()) if not partial else []
    for test in gone:
        print(f"RED    {test} is listed, but there is no such case")
    for test in by["failed"]:
        if test in listed:
            print(f"waits  {test}  {listed[test]}")
    for reason, count in Counter(rows[test]["text"].partition("Skipped: ")[2].rstrip("')") for test in by["skipped"]).items():
        print(f"skip   {count} tests: {reason}")
    print(f"{name}: {len(by['passed'])} passed, {len(by['failed'])} failed ({len(surprises)} unlisted), "
          f"{len(by['skipped'])} skipped, {len(struck)} to strike off", flush=True)
    return bool(by["passed"]) and not (surprises or struck or unseen or gone)
