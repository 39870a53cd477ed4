"""A pytest plugin: writes one JSON object a test, {"id", "outcome", "text"}, to the file CONFORMANCE_RESULTS."""
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

    def pytest_sessionfinish(self):
        with open(self.path, "w") as file:
            for test, (outcome, text) in sorted(self.outcomes.items()):
                file.write(json.dumps({"id": test, "outcome": outcome, "text": text}) + "\n")


def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Results(os.environ["CONFORMANCE_RESULTS"]))
