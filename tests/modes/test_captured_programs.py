"""Programs that know nothing of the mesh, in network namespaces: captured, named, routed, and never let past.

Two machines on one cable: the client's (10.77.0.1) with a sidecar, and the
servers' (10.77.0.2), whose name server is the only one there is.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from tests.namespaces import PATH, Namespace, connect, make, reason_against, unmake

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
CLIENT, SERVERS = "10.77.0.1", "10.77.0.2"
OUTSIDE = "10.77.0.9"
PROXY = 1337

MESH = f"""
apiVersion: v1
kind: Service
metadata: {{name: reviews, namespace: default}}
spec: {{ports: [{{name: http, port: 9080}}]}}
---
apiVersion: v1
kind: Endpoints
metadata: {{name: reviews, namespace: default}}
subsets: [{{addresses: [{{ip: {SERVERS}}}], ports: [{{name: http, port: 9081}}]}}]
---
apiVersion: v1
kind: Service
metadata: {{name: one, namespace: default}}
spec: {{ports: [{{name: tcp, port: 5432}}]}}
---
apiVersion: v1
kind: Endpoints
metadata: {{name: one, namespace: default}}
subsets: [{{addresses: [{{ip: {SERVERS}}}], ports: [{{name: tcp, port: 7001}}]}}]
---
apiVersion: v1
kind: Service
metadata: {{name: two, namespace: default}}
spec: {{ports: [{{name: tcp, port: 5432}}]}}
---
apiVersion: v1
kind: Endpoints
metadata: {{name: two, namespace: default}}
subsets: [{{addresses: [{{ip: {SERVERS}}}], ports: [{{name: tcp, port: 7002}}]}}]
"""

SERVER = """
import http.server, os, socketserver, sys, threading
sys.path.insert(0, {root!r})
from meshd.proxy.dns.message import answer, read_question

class Pages(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"{{self.headers['host']}} {{'by the mesh' if self.headers['x-request-id'] else 'past the mesh'}}".encode()
        self.send_response(200); self.send_header("content-length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def log_message(self, *arguments): pass

class First(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(f"{{self.server.server_address[1]}} called from {{self.client_address[0]}}".encode())

class Names(socketserver.BaseRequestHandler):
    def handle(self):
        message, sock = self.request
        sock.sendto(answer(read_question(message), ("{outside}",) if read_question(message).kind == 1 else (), ttl=1), self.client_address)

class Threads(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    allow_reuse_address = True

# Its own asks a name server who it is, and there is none yet.
http.server.HTTPServer.server_bind = socketserver.TCPServer.server_bind
servers = [http.server.ThreadingHTTPServer(("{servers}", 9081), Pages), http.server.ThreadingHTTPServer(("127.0.0.1", 8080), Pages)]
servers += [socketserver.ThreadingUDPServer(("{servers}", 53), Names)]
servers += [Threads((host, port), First) for host, port in (("{servers}", 7001), ("{servers}", 7002), ("{servers}", 9999), ("127.0.0.1", 9091))]
for each in servers:
    threading.Thread(target=each.serve_forever, daemon=True).start()
print("up", flush=True)
sys.stdin.read()
"""

GET = "import urllib.request; print(urllib.request.urlopen({url!r}, timeout=10).read().decode())"
HEAR = """
import socket
with socket.create_connection(({host!r}, {port}), timeout=10) as sock:
    print(sock.recv(100).decode() or "nothing")
"""


@attrs.define
class Machines:
    """Both, with what runs on them."""

    client: Namespace
    servers: Namespace
    state: Path
    running: list[subprocess.Popen[str]] = attrs.field(factory=list)

    def start(self, where: Namespace, *words: str, until: str) -> subprocess.Popen[str]:
        """Run a program until it says something."""
        process = subprocess.Popen(
            where.command(*words),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PATH": PATH, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        )
        self.running.append(process)
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if until in line:
                return process
        raise AssertionError(f"it ended and said: {''.join(said)}")

    def sidecar(self, where: Namespace, *arguments: str, user: int = PROXY) -> subprocess.Popen[str]:
        """One that runs as this user, ready."""
        home = self.state / f"{where.name}-{user}"
        home.mkdir(exist_ok=True)
        os.chown(home, user, user)
        become = ["setpriv", "--reuid", str(user), "--regid", str(user), "--clear-groups"] if user else []
        command = [sys.executable, "-m", "meshd", "sidecar", "--state", str(home), "--admin", "off", "--health", "off"]
        command += ["--stats", "127.0.0.1:15090", "--access-log", "off", *arguments]
        return self.start(where, *become, *command, until="ready ")

    def client_says(self, code: str) -> str:
        """What a program on the client's machine prints."""
        return self.client.run(sys.executable, "-c", textwrap.dedent(code)).strip()

    def client_fails(self, code: str) -> str:
        """How one fails."""
        done = subprocess.run(
            self.client.command(sys.executable, "-c", textwrap.dedent(code)),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode != 0, done.stdout
        return done.stderr.strip().splitlines()[-1]


def may_run_as_the_proxy() -> bool:
    tried = subprocess.run(
        [
            "setpriv",
            "--reuid",
            str(PROXY),
            "--regid",
            str(PROXY),
            "--clear-groups",
            sys.executable,
            "-c",
            "import meshd",
        ],
        cwd=ROOT,
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return tried.returncode == 0


@pytest.fixture
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    reason = reason_against() or ("" if shutil.which("setpriv", path=PATH) else "setpriv is not installed")
    if not reason and not may_run_as_the_proxy():
        reason = "another user may not read this checkout"
    if reason:
        pytest.skip(reason)
    state = Path("/tmp") / f"meshd-capture-{os.getpid()}"  # others than root must reach it
    state.mkdir(mode=0o755, exist_ok=True)
    made = Machines(make(), make(), state)
    files = Path("/etc/netns") / made.client.name
    try:
        files.mkdir(parents=True)
        (files / "resolv.conf").write_text(f"nameserver {SERVERS}\nsearch default.svc.cluster.local\n")
        connect(made.client, CLIENT, made.servers, SERVERS)
        (state / "mesh.yaml").write_text(MESH)
        code = SERVER.format(root=str(ROOT), servers=SERVERS, outside=OUTSIDE)
        made.start(made.servers, sys.executable, "-c", code, until="up")
        yield made
    finally:
        for process in made.running:
            process.kill()
            process.communicate()
        for each in (made.client, made.servers):
            subprocess.run(
                each.command(sys.executable, "-m", "meshd", "capture", "remove"), capture_output=True, check=False
            )
            unmake(each)
        shutil.rmtree(files, ignore_errors=True)
        shutil.rmtree(state, ignore_errors=True)


def test_a_client_that_knows_nothing_of_the_mesh(machines: Machines) -> None:
    machines.client.meshd("capture", "install", "--dns", "--no-ipv6")
    sidecar = machines.sidecar(
        machines.client, "--config", str(machines.state / "mesh.yaml"), "--dns", "127.0.0.1:15053"
    )

    assert machines.client_says(GET.format(url="http://reviews:9080/")) == "reviews:9080 by the mesh"
    full = "reviews.default.svc.cluster.local"
    assert machines.client_says(GET.format(url=f"http://{full}:9080/")) == f"{full}:9080 by the mesh"
    # Two services at one port, told apart by the address that their name has.
    assert machines.client_says(HEAR.format(host="one", port=5432)) == f"7001 called from {CLIENT}"
    assert machines.client_says(HEAR.format(host="two.default", port=5432)) == f"7002 called from {CLIENT}"
    # What is none of the mesh's: a name others know, and a server that speaks first.
    assert machines.client_says("import socket; print(socket.gethostbyname('example.test'))") == OUTSIDE
    assert machines.client_says(HEAR.format(host=SERVERS, port=9999)) == f"9999 called from {CLIENT}"

    sidecar.send_signal(signal.SIGKILL)
    sidecar.wait()
    assert "refused" in machines.client_fails(HEAR.format(host=SERVERS, port=9999))

    machines.client.meshd("capture", "remove")
    assert machines.client_says(HEAR.format(host=SERVERS, port=9999)) == f"9999 called from {CLIENT}"


def test_a_proxy_that_captures_itself_stops_at_once(machines: Machines) -> None:
    machines.client.meshd("capture", "install", "--no-ipv6")
    machines.sidecar(machines.client, "--config", str(machines.state / "mesh.yaml"), user=0)

    said = machines.client_says(f"""
        import socket
        try:
            with socket.create_connection(("{SERVERS}", 9999), timeout=10) as sock:
                print(sock.recv(100).decode() or "closed")
        except ConnectionError:
            print("cut")
    """)
    assert said in {"closed", "cut"}
    page = machines.client_says(GET.format(url="http://127.0.0.1:15090/stats/prometheus"))
    assert 'meshd_downstream_connections_refused_total{listener="virtualOutbound",reason="loop"} 1' in page


def test_what_comes_in_is_captured_too(machines: Machines) -> None:
    machines.servers.meshd("capture", "install", "--no-ipv6")
    machines.sidecar(machines.servers, "--upstream", ":8080")

    said = machines.client_says(GET.format(url=f"http://{SERVERS}:8080/"))
    assert said == f"{SERVERS}:8080 by the mesh"
    # A port that is not the application's: handed on to where the client was going.
    assert machines.client_says(HEAR.format(host=SERVERS, port=9999)) == "9999 called from 127.0.0.6"
    # What listens on loopback alone, and the proxy's own ports, stay out of reach.
    for port in (9091, 15001):
        code = f"""
        import socket
        sock = socket.create_connection(("{SERVERS}", {port}), timeout=10)
        assert sock.recv(100), "closed"
        """
        assert machines.client_fails(code)


def test_the_addresses_are_of_this_machine_alone() -> None:
    """The cable's addresses must not be ones that this machine uses, or the tests would reach it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, pytest.raises(OSError):
        sock.bind((CLIENT, 0))
