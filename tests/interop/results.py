"""A pytest plugin: writes one JSON object a test, {"id", "outcome", "text"}, to the file PYTEST_RESULTS."""
import json
import os


class Results:
    """Lives in the controlling process: with xdist the workers' reports arrive here as well."""

    def __init__(self, path):
        self.path, self.outcomes = path, {}

    def pytest_runtest_logreport(self, report):
        # Three reports a test: setup, call, teardown. The worst of them counts; a passed setup says nothing yet.
        rank = {"passed": 0, "skipped": 1, "failed": 2}
        known = self.outcomes.get(report.nodeid, ("passed", ""))
        if rank[report.outcome] >= rank[known[0]]:
            self.outcomes[report.nodeid] = (report.outcome, report.longreprtext or known[1])
        if report.when == "teardown":
            outcome, text = self.outcomes[report.nodeid]
            with open(self.path, "a") as file:
                file.write(json.dumps({"id": report.nodeid, "outcome": outcome, "text": text}) + "\n")


def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Results(os.environ["PYTEST_RESULTS"]))
