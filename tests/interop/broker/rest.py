"""The part of the admin interface that the cases use, over the standard library."""
import json
import urllib.error
import urllib.request
from urllib.parse import quote


class Rest:
    """Requests to one server; each returns the status and the body, as JSON where it is that."""

    def __init__(self, url):
        self.url = url

    def ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        # A body of no bytes would be a type that the original refuses.
        headers = {"Content-Type": "application/json"} if data else {}
        request = urllib.request.Request(f"{self.url}{path}", method=method, data=data, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                status, text = answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            status, text = refused.code, refused.read().decode()
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text

    def get(self, path):
        """The body of what must be there."""
        status, body = self.ask("GET", path)
        assert status == 200, f"GET {path}: {status} {body}"
        return body

    def change(self, method, path, body=None):
        """A change that must succeed; Pulsar answers 204 to most and 200 to some."""
        status, answer = self.ask(method, path, body)
        assert status in (200, 204), f"{method} {path}: {status} {answer}"

    def stats(self, topic, domain="persistent"):
        return self.get(f"{path_of(topic, domain)}/stats")

    def internal_stats(self, topic):
        return self.get(f"{path_of(topic)}/internalStats")

    def backlog(self, topic, subscription):
        return self.stats(topic)["subscriptions"][subscription]["msgBacklog"]


def path_of(topic, domain="persistent", namespace="public/default"):
    """The admin path of a topic given by its local name."""
    return f"/admin/v2/{domain}/{namespace}/{quote(topic, safe='')}"
