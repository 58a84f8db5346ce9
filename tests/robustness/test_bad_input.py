"""Everything wrong that a user can put into a running mesh: one clear line each, and what worked goes on working.

One control plane and one gateway are started once; every bad thing is put into
the store, must be told in one line that says where and what, and is taken out
again. In between, the gateway is asked.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.certs.pki import make_ca
from tests.programs import PATIENCE, Program, answering, environment, finished, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

GOOD = answering(80)
OTHER = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: other}
spec:
  hosts: ["other.example.com"]
  http:
  - route: [{destination: {host: other.example.com}}]
"""
LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(20)
)

BAD: dict[str, tuple[str | bytes, str]] = {
    "malformed": ("a: [1, 2\nb: }", r"bad\.yaml:\d+:\d+: error MD0001"),
    "tabs": ("a:\n\tb: c\n", r"bad\.yaml:2:\d+: error MD0001"),
    "not text": (b"\xff\xfe\x00\x01", r"bad\.yaml:1:1: error MD0001: .*UTF-8"),
    "nul": (b"a: \x00", r"bad\.yaml:\d+:\d+: error MD0001"),
    "brackets": ("[" * 100_000, r"bad\.yaml:\d+:\d+: error MD0001"),
    "braces": ("{a: " * 100_000, r"bad\.yaml:\d+:\d+: error MD0001"),
    "dashes": ("- " * 100_000, r"bad\.yaml:\d+:\d+: error MD0001"),
    "laughs": (LAUGHS, r"bad\.yaml:\d+:\d+: error MD0001"),
    "tag": ("a: !!python/object/apply:os.system [id]\n", r"bad\.yaml:\d+:\d+: error MD0001"),
    "ten megabytes": ("# " + "x" * 10 * 1024 * 1024, r"bad\.yaml:1:1: error MD0001"),
    "no kind": ("a: b\n", r"bad\.yaml:\d+:\d+: error .*kind"),
    "a list": ("- a\n- b\n", r"bad\.yaml:\d+:\d+: error "),
    "a number": ("5\n", r"bad\.yaml:\d+:\d+: error "),
    "unknown kind": (OTHER.replace("VirtualService", "VirtualServise"), r"bad\.yaml:\d+:\d+: (error|warning) .*VirtualServise"),
    "unknown field": (OTHER.replace("hosts:", "host:"), r"bad\.yaml:\d+:\d+: error .*host.*hosts"),
    "wrong type": (OTHER.replace('["other.example.com"]', "5"), r"bad\.yaml:\d+:\d+: error .*hosts"),
    "wrong name": (OTHER.replace("name: other", "name: ../../etc"), r"bad\.yaml:\d+:\d+: error "),
    "missing reference": (OTHER.replace("host: other.example.com", "host: nobody"), r"bad\.yaml:\d+:\d+: \w+ IST0101 .*nobody"),
    "missing gateway": (OTHER.replace("  http:", "  gateways: [nothing]\n  http:"), r"bad\.yaml:\d+:\d+: \w+ IST0101 .*nothing"),
    "bad expression": (OTHER.replace("- route:", '- match: [{uri: {regex: "(a"}}]\n    route:'), r"bad\.yaml:\d+:\d+: error "),
}  # fmt: skip


@contextmanager
def unprivileged(home: Path, *arguments: str) -> Iterator[Program]:
    """A program that may not read what is closed to it, also when root runs the tests."""
    if os.geteuid() != 0:
        with running(home, *arguments) as program:
            yield program
        return
    tool = shutil.which("setpriv")
    if tool is None:
        pytest.skip("root can read everything, and there is no setpriv (package util-linux)")
    gone = "-dac_override,-dac_read_search"
    wrapper = (tool, "--bounding-set", gone, "--inh-caps", gone, sys.executable)
    program = Program.__new__(Program)
    program.output = home / f"output-{time.monotonic_ns()}"
    with program.output.open("wb") as file:
        program.process = subprocess.Popen(
            [*wrapper, "-m", "meshd", *arguments], env=environment(home), stdout=file, stderr=file, cwd=home
        )
    try:
        yield program
    finally:
        if program.process.poll() is None:
            program.process.kill()
        program.process.wait()


def until(good: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not good():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def get(url: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=10) as answer:
        return str(answer.read(), "utf-8")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("mesh")
    (made / "store").mkdir()
    (made / "store" / "good.yaml").write_text(GOOD.replace("TEXT", "good"))
    return made


@pytest.fixture(scope="module")
def control(home: Path) -> Iterator[Program]:
    where = ("--listen", "127.0.0.1:0", "--console", "127.0.0.1:0")
    with unprivileged(
        home, "control", "--store", str(home / "store"), "--state", str(home / "state"), *where
    ) as program:
        program.wait_for("INFO serving")
        yield program
        assert program.stop() == 0
        assert "Traceback" not in program.text


@pytest.fixture(scope="module")
def url(home: Path, control: Program) -> Iterator[str]:
    quiet = ("--admin", "off", "--health", "off", "--stats", "off", "--access-log", "off")
    with running(home, "gateway", "--port", "80=127.0.0.1:0", "--service-account", "door", *quiet) as program:
        where = program.wait_for(r"0\.0\.0\.0_80=(\S+)")[1]
        yield f"http://{where}/"
        assert program.stop() == 0
        assert "Traceback" not in program.text


def told(control: Program, before: int, pattern: str) -> list[str]:
    """The lines that have come since, once one of them matches."""
    found = re.compile(pattern)

    def lines() -> list[str]:
        return control.text[before:].splitlines()

    until(
        lambda: any(found.search(line) for line in lines()),
        f"{pattern!r} did not come: {control.text[before:][-2000:]}",
    )
    return lines()


@pytest.mark.parametrize("name", BAD)
def test_documents(home: Path, control: Program, url: str, name: str) -> None:
    content, pattern = BAD[name]
    bad = home / "store" / "bad.yaml"
    before = len(control.text)
    bad.write_bytes(content if isinstance(content, bytes) else content.encode())
    lines = told(control, before, pattern)
    assert all(len(line) < 1000 for line in lines), "a line can be read"
    assert len([line for line in lines if re.search(pattern, line)]) == 1, lines
    assert get(url) == "good"
    bad.unlink()
    # The next change is live: nothing is stuck.
    answer = home / "store" / "good.yaml"
    answer.write_text(GOOD.replace("TEXT", name))
    until(lambda: get(url) == name, "the next change is not live")
    answer.write_text(GOOD.replace("TEXT", "good"))
    until(lambda: get(url) == "good", "the next change is not live")
    assert "Traceback" not in control.text


def test_what_may_not_be_read(home: Path, control: Program, url: str) -> None:
    before = len(control.text)
    closed = home / "store" / "closed"
    closed.mkdir()
    (closed / "x.yaml").write_text(OTHER)
    closed.chmod(0)
    try:
        told(
            control,
            before,
            r"closed: error MD0007: cannot be read: permission denied; let the user that runs meshd read it",
        )
        assert get(url) == "good"
    finally:
        closed.chmod(0o700)
        shutil.rmtree(closed)
    before = len(control.text)
    file = home / "store" / "closed.yaml"
    file.write_text(OTHER)
    file.chmod(0)
    told(control, before, r"closed\.yaml: error MD0007: cannot be read: permission denied")
    assert get(url) == "good"
    file.unlink()


def test_a_store_that_goes_away(home: Path, control: Program, url: str) -> None:
    before = len(control.text)
    (home / "store").rename(home / "away")
    told(control, before, r"store: error MD0007: cannot be read: there is no such file or directory")
    time.sleep(1.0)
    assert get(url) == "good", "what cannot be seen was not deleted"
    (home / "away").rename(home / "store")
    (home / "store" / "good.yaml").write_text(GOOD.replace("TEXT", "back"))
    until(lambda: get(url) == "back", "the store is not looked at again")
    (home / "store" / "good.yaml").write_text(GOOD.replace("TEXT", "good"))
    until(lambda: get(url) == "good", "the store is not looked at again")


def test_junk_at_the_api(home: Path, control: Program, url: str) -> None:
    """Bytes, plaintext, half handshakes and strangers' certificates at 15012; junk at 15014."""
    api = control.wait_for(r"api=https://127\.0\.0\.1:(\d+)")[1]
    console = control.wait_for(r"console=http://127\.0\.0\.1:(\d+)")[1]
    for port in (int(api), int(console)):
        for junk in (b"", b"\x00" * 1000, b"GET / HTTP/1.1\r\n\r\n", b"GET /../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n",
                     b"\x16\x03\x01\x02\x00\x01\x00", b"\x16\x03\x01\xff\xff" + b"\x01" * 70_000, b"A" * 200_000):  # fmt: skip
            with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
                try:
                    client.sendall(junk)
                    client.shutdown(socket.SHUT_WR)
                    while client.recv(65536):
                        pass
                except OSError:
                    pass
    stranger = make_ca(name="strangers").issue("spiffe://cluster.local/ns/meshd-system/sa/control")
    chain = home / "stranger.pem"
    chain.write_text(stranger.chain_pem + stranger.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(chain)
    assert not answered(int(api), context), "a certificate of another CA is answered"
    assert get(url) == "good"
    code, text = finished(home, "proxy-status")
    assert code == 0, text
    assert "SYNCED" in text


def answered(port: int, context: ssl.SSLContext) -> bytes:
    """What a client gets for its certificate; b"" when it is sent away."""
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as client,
            context.wrap_socket(client) as secured,
        ):
            secured.sendall(b"GET /v1/manifest HTTP/1.1\r\nHost: a\r\n\r\n")
            return secured.recv(100)
    except OSError:
        return b""


def test_nothing_secret_was_said(home: Path, control: Program, url: str) -> None:
    console = control.wait_for(r"console=(http://\S+)")[1]
    said = control.text
    for path in ("/", "/metrics", "/ready", "/debug", "/debug/syncz", "/v1/nodes"):
        try:
            said += get(f"{console}{path}")
        except OSError:
            continue
    assert "PRIVATE KEY" not in said
    assert not re.search(r"meshd1\.[0-9a-f]{16}\.", said), "a token"
