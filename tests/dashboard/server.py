"""A stand-in for W&B's server: it takes runs and views, and remembers what it was sent."""

import gzip
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class StandIn(ThreadingHTTPServer):
    """Listens on a port of its own.

    Attributes:
        calls: name and variables of every GraphQL operation.
        history: run id -> rows of its history, by step.
        files: path -> bytes of every uploaded file.
        refused: ids of runs that it does not take.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.history: dict[str, dict[int, dict[str, Any]]] = {}
        self.files: dict[str, bytes] = {}
        self.refused: set[str] = set()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def named(self, operation: str) -> list[dict[str, Any]]:
        """Variables of all calls of this operation."""
        return [variables for name, variables in self.calls if name == operation]

    def answer(self, operation: str, variables: dict[str, Any]) -> dict[str, Any] | None:
        """Data of an operation, or None for one that this server does not know."""
        user = {"id": "U", "entity": "me", "username": "me", "flags": "{}", "teams": {"edges": []}}
        if operation in ("Viewer", "GetViewer", "GetDefaultEntity"):
            return {"viewer": user}
        if operation == "ServerFeaturesQuery":
            return {"serverInfo": {"features": []}}
        if operation == "UpsertBucket":
            project = {"id": "P", "name": variables.get("project"), "entity": {"id": "E", "name": "me"}}
            names = {"id": variables["name"], "name": variables["name"], "displayName": variables.get("displayName")}
            bucket = names | {"description": "", "config": "{}", "sweepName": None, "project": project}
            return {"upsertBucket": {"bucket": bucket | {"historyLineCount": 0}, "inserted": True}}
        if operation == "CreateRunFiles":
            files = [
                {"name": name, "uploadUrl": f"{self.url}/upload/{variables['run']}/{name}"}
                for name in variables["files"]
            ]
            return {"createRunFiles": {"runID": variables["run"], "uploadHeaders": [], "files": files}}
        if operation == "GetProjects":
            return {
                "models": {"pageInfo": {"__typename": "PageInfo", "endCursor": None, "hasNextPage": False}, "edges": []}
            }
        if operation in ("UpsertModel", "CreateProject"):
            return {"upsertModel": {"model": {"name": "lightning-seg"}, "project": None, "inserted": True}}
        if operation == "upsertView":
            project = {"id": "P", "name": variables["projectName"], "entityName": variables["entityName"]}
            view = {name: variables[name] for name in ("name", "displayName", "description", "spec", "type")}
            return {
                "upsertView": {"view": view | {"id": variables["id"] or "V1", "project": project}, "inserted": True}
            }
        return None


class _Handler(BaseHTTPRequestHandler):
    server: StandIn

    def log_message(self, *_: object) -> None:
        """Nothing: tests read what the server remembers."""

    def do_GET(self) -> None:
        self._reply({})

    def do_PUT(self) -> None:
        self.server.files[self.path.removeprefix("/upload/")] = self._body()
        self._reply({})

    def do_POST(self) -> None:
        body = self._body()
        if self.path.endswith("/file_stream"):
            self._take_history(self.path.split("/")[-2], json.loads(body))
            self._reply({})
        elif self.path.endswith("/graphql"):
            self._answer(json.loads(body))
        else:
            self._reply({})

    def _answer(self, request: dict[str, Any]) -> None:
        found = re.search(r"\b(?:query|mutation)\s+(\w+)", request["query"])
        operation = request.get("operationName") or (found[1] if found else "")
        variables = request.get("variables") or {}
        self.server.calls.append((operation, variables))
        if operation == "UpsertBucket" and variables["name"] in self.server.refused:
            self._reply({"errors": [{"message": "permission denied"}]}, 403)
            return
        data = self.server.answer(operation, variables)
        self._reply({"data": data} if data else {"errors": [{"message": f"{operation} is not known"}]})

    def _take_history(self, run: str, body: dict[str, Any]) -> None:
        for line in body.get("files", {}).get("wandb-history.jsonl", {}).get("content", []):
            row = json.loads(line)
            self.server.history.setdefault(run, {})[row["_step"]] = row

    def _body(self) -> bytes:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def _reply(self, answer: dict[str, Any], code: int = 200) -> None:
        body = json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
