"""meshd as a user meets it: a process with flags, ports, signals and an exit code."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.programs import answering, finished, running

QUIET = ("--admin", "off", "--health", "off", "--stats", "off")
PLAIN = ("sidecar", "--upstream", ":1", "--inbound", "127.0.0.1:0", "--outbound", "127.0.0.1:0")

HEAVY = {"yaml", "cryptography", "pydantic", "rich", "httpx2", "opentelemetry", "asyncio", "watchfiles"}
MOST_MEMORY = 45 * 1024
"""KiB."""

INGRESS = answering(8080)


@pytest.fixture
def taken() -> object:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def get(url: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=10) as answer:
        return str(answer.read(), "utf-8")


def memory(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def one_line(text: str) -> str:
    assert "Traceback" not in text
    lines = [line for line in text.splitlines() if line.startswith("meshd: ")]
    assert len(lines) == 1, text
    return lines[0]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_plain_sidecar_is_small(tmp_path: Path) -> None:
    with running(tmp_path, *PLAIN, *QUIET, python=("-X", "importtime")) as program:
        program.wait_for(r"INFO ready")
        loaded = {line.rpartition("|")[2].strip() for line in program.text.splitlines() if "|" in line}
        assert "meshd.proxy.engine" in loaded, "the look at what is imported works"
        assert {name for name in loaded if name.partition(".")[0] in HEAVY} == set()
        assert memory(program.process.pid) < MOST_MEMORY
        assert program.stop() == 0


def test_a_plain_sidecar_says_so_and_lets_through(tmp_path: Path) -> None:
    serve = "import http.server as h; s = h.HTTPServer(('127.0.0.1', 0), h.SimpleHTTPRequestHandler)"
    code = f"{serve}; print(s.server_port, flush=True); s.serve_forever()"
    (tmp_path / "hello").write_text("hello")
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=tmp_path
    ) as app:
        assert app.stdout is not None
        port = int(app.stdout.readline())
        arguments = ("sidecar", "--upstream", f":{port}", "--inbound", "127.0.0.1:0", "--outbound", "127.0.0.1:0")
        with running(tmp_path, *arguments, *QUIET) as program:
            inbound = program.wait_for(r"virtualInbound=(\S+)")[1]
            assert program.text.count("a plain proxy, without mutual TLS or policy") == 1
            assert get(f"http://{inbound}/hello") == "hello"
        app.kill()


def test_default_ports_give_way(tmp_path: Path) -> None:
    with running(tmp_path, "sidecar", "--upstream", ":1") as first:
        first.wait_for("INFO ready")
        with running(tmp_path, "sidecar", "--upstream", ":1") as second:
            second.wait_for("INFO ready")
            second.wait_for(r"port 15001 is taken; outbound is at 127\.0\.0\.1:\d+")
            assert second.stop() == 0
        assert first.stop() == 0


@pytest.mark.parametrize("flag", ["--inbound", "--outbound", "--admin", "--health", "--stats"])
def test_a_port_that_was_asked_for_is_had_or_refused(tmp_path: Path, taken: int, flag: str) -> None:
    code, text = finished(tmp_path, "sidecar", "--upstream", ":1", flag, f"127.0.0.1:{taken}")
    assert code == 78
    assert f"{flag} 127.0.0.1:{taken}: address already in use" in one_line(text)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_stop_it(tmp_path: Path, number: int) -> None:
    with running(tmp_path, *PLAIN, *QUIET) as program:
        program.wait_for("INFO ready")
        program.signal(number)
        assert program.wait() == 0
        assert "Traceback" not in program.text


def test_the_admin_interface_can_stop_it(tmp_path: Path) -> None:
    admin = ("--admin", "127.0.0.1:0", "--health", "off", "--stats", "off", "--access-log", "off")
    with running(tmp_path, *PLAIN, *admin, "--log-format", "json") as program:
        program.wait_for('"message": "ready"')
        where = program.wait_for(r'"admin": "(\S+)"')[1]
        assert "meshd_build_info" in get(f"http://{where}/stats/prometheus")
        request = urllib.request.Request(f"http://{where}/quitquitquit", method="POST")
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
            assert answer.status == 200
        assert program.wait() == 0


def test_logs_and_access_logs_as_json(tmp_path: Path) -> None:
    with running(tmp_path, *PLAIN, *QUIET, "--log-format", "json") as program:
        where = program.wait_for(r'"virtualInbound": "(\S+)"')[1]
        with pytest.raises(OSError, match="503"):
            get(f"http://{where}/")
        assert program.stop() == 0
        lines = [json.loads(line) for line in program.text.splitlines()]
    assert {"ready", "stopping"} <= {line.get("message") for line in lines}
    assert [line["response_code"] for line in lines if "response_code" in line] == [503]


def test_a_second_signal_stops_it_at_once(tmp_path: Path) -> None:
    with running(tmp_path, *PLAIN, *QUIET, "--drain-timeout", "600") as program:
        outbound = program.wait_for(r"virtualOutbound=127\.0\.0\.1:(\d+)")[1]
        with (
            socket.create_server(("127.0.0.1", 0)) as silent,
            socket.create_connection(("127.0.0.1", int(outbound))) as client,
        ):
            host = f"127.0.0.1:{silent.getsockname()[1]}"
            client.sendall(f"GET http://{host}/ HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
            upstream, _ = silent.accept()
            program.signal(signal.SIGTERM)
            program.wait_for("INFO stopping")
            program.signal(signal.SIGTERM)
            assert program.wait() == 128 + signal.SIGTERM
            upstream.close()


def test_a_gateway_from_one_file(tmp_path: Path) -> None:
    config = tmp_path / "ingress.yaml"
    config.write_text(INGRESS.replace("TEXT", "one"))
    with running(tmp_path, "gateway", "--config", str(config), "--port", "8080=127.0.0.1:0", *QUIET) as program:
        where = program.wait_for(r"listeners=0\.0\.0\.0_8080=(\S+)")[1]
        assert get(f"http://{where}/") == "one"

        config.write_text(INGRESS.replace("TEXT", "two").replace("directResponse", "directRespons"))
        program.signal(signal.SIGHUP)
        program.wait_for(r"ERROR .*ingress\.yaml:\d+:5: error \w+ VirtualService default/answer: .*directResponse")
        assert get(f"http://{where}/") == "one", "a document that is broken changes nothing"

        config.write_text(INGRESS.replace("TEXT", "three"))
        program.signal(signal.SIGHUP)
        program.wait_for(r"(?s)configuration applied.*configuration applied")
        assert get(f"http://{where}/") == "three"
        assert program.stop() == 0


SERVICE = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: hello}
spec:
  hosts: [hello.example]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports:
  - {number: 80, name: http, protocol: HTTP}
  endpoints:
  - {address: 127.0.0.1, ports: {http: PORT}}
"""


def test_a_sidecar_from_one_file(tmp_path: Path) -> None:
    """Without a control plane there is no certificate, and it is ready all the same; ``--bind`` has a port of its own."""
    config = tmp_path / "mesh.yaml"
    (tmp_path / "ingress.yaml").write_text(INGRESS.replace("TEXT", "hello"))
    gateway = ("gateway", "--config", str(tmp_path / "ingress.yaml"), "--port", "8080=127.0.0.1:0", *QUIET)
    with running(tmp_path, *gateway) as backend:
        port = backend.wait_for(r"listeners=0\.0\.0\.0_8080=127\.0\.0\.1:(\d+)")[1]
        config.write_text(SERVICE.replace("PORT", port))
        flags = ("--config", str(config), "--bind", "hello.example:80=127.0.0.1:0")
        with running(tmp_path, *PLAIN, *flags, *QUIET) as program:
            program.wait_for("INFO ready")
            bound = program.wait_for(r"bind_hello\.example_80=(\S+)")[1]
            outbound = program.wait_for(r"virtualOutbound=(\S+)")[1]
            assert get(f"http://{bound}/") == "hello"
            request = urllib.request.Request("http://hello.example/")
            request.set_proxy(outbound, "http")
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
                assert answer.read() == b"hello"


def test_a_gateway_needs_something_to_do(tmp_path: Path) -> None:
    code, text = finished(tmp_path, "gateway")
    assert code == 78
    assert "needs --config FILE_OR_DIR, --control URL" in one_line(text)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [", r"MD0001"),
        ("[" * 100_000, r"MD0001"),
        (INGRESS.replace("servers:", "severs:"), "severs"),
        (INGRESS.replace("number: 8080", "number: eighty"), "number"),
        ("", "no configuration in"),
    ],
    ids=["malformed", "nested", "unknown field", "wrong type", "empty"],
)
def test_unusable_configuration(tmp_path: Path, content: str, message: str) -> None:
    config = tmp_path / "ingress.yaml"
    config.write_text(content)
    code, text = finished(tmp_path, "gateway", "--config", str(config), "--port", "8080=127.0.0.1:0", *QUIET)
    assert code == 65
    assert message in text
    assert str(config) in text
    one_line(text)


def test_configuration_that_is_not_there(tmp_path: Path) -> None:
    code, text = finished(tmp_path, "gateway", "--config", str(tmp_path / "none.yaml"), *QUIET)
    assert code == 65
    assert "none.yaml" in text
    one_line(text)


def test_a_gateway_port_that_is_taken(tmp_path: Path, taken: int) -> None:
    config = tmp_path / "ingress.yaml"
    config.write_text(INGRESS)
    arguments = ("gateway", "--config", str(config), *QUIET)
    code, text = finished(tmp_path, *arguments, "--port", f"8080=127.0.0.1:{taken}")
    assert code == 78
    assert f"127.0.0.1:{taken}: address already in use" in one_line(text)

    config.write_text(INGRESS.replace("number: 8080", f"number: {taken}"))
    code, text = finished(tmp_path, *arguments)
    assert code == 78
    assert str(taken) in one_line(text)


@pytest.mark.parametrize(("make", "message"), [(False, "no such directory"), (True, "not a directory")])
def test_a_store_that_is_none(tmp_path: Path, make: bool, message: str) -> None:
    store = tmp_path / "store"
    if make:
        store.write_text("")
    code, text = finished(tmp_path, "control", "--store", str(store))
    assert code == 78
    assert message in one_line(text)


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything")
def test_a_store_that_cannot_be_read(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir(mode=0o000)
    code, text = finished(tmp_path, "control", "--store", str(store))
    assert code == 78
    assert "Permission denied" in one_line(text)


def test_nobody_to_ask(tmp_path: Path) -> None:
    code, text = finished(tmp_path, "proxy-status")
    assert code == 69
    assert "no control plane of yours on this machine" in one_line(text)
    code, text = finished(tmp_path, "proxy-status", "--console", "127.0.0.1:1")
    assert code == 69
    assert "gives no answer" in one_line(text)
