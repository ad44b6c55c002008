"""A stand-in for neutron: a cloud without networks.

Even for `networks='none'` nova asks for a server's ports: without an answer, detailed listings give 500 and deletes end in
ERROR. Every collection is empty; nothing can be created.
"""

import json
from collections.abc import Callable, Iterable
from typing import Any

from local_cloud.serve import Application

COLLECTIONS = ("extensions", "networks", "subnets", "ports", "floatingips", "security-groups")


def application(base: str) -> Application:
    """Return the network service at this address."""
    answers: dict[str, dict[str, Any]] = {f"/v2.0/{name}": {name.replace("-", "_"): []} for name in COLLECTIONS}
    answers[""] = {"versions": [{"id": "v2.0", "status": "CURRENT", "links": [{"rel": "self", "href": f"{base}/v2.0"}]}]}

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"].rstrip("/").removesuffix(".json")
        known = environ["REQUEST_METHOD"] == "GET" and path in answers
        missing = {"NeutronError": {"type": "HTTPNotFound", "message": path, "detail": ""}}
        data = json.dumps(answers[path] if known else missing).encode()
        start("200 OK" if known else "404 Not Found", [("Content-Type", "application/json"), ("Content-Length", str(len(data)))])
        return [data]

    return answer
