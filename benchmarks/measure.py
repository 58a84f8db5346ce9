"""Load, CPU time and latency of one proxy at a time.

CPU is read from ``/proc/PID/task/*/schedstat`` (nanoseconds on a processor) of
the proxy's whole process tree, before and after a run. Requests per core are
completed requests divided by CPU seconds: the figure to compare, because raw
requests per second depend on who shares the machine.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import attrs

TYPICAL_HEADERS = (
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
    "Accept-Encoding: gzip, deflate, br",
    "X-Request-Id: 7f8c9e0a-1b2c-4d3e-9f40-5a6b7c8d9e0f",
    "Cookie: session=4f3c2b1a09; theme=dark",
    "Authorization: Bearer " + "a" * 100,
)


@attrs.frozen
class Sample:
    """One run: requests per second, CPU milliseconds per request, latencies in milliseconds, failures."""

    rps: float
    cpu_ms: float
    p50_ms: float
    p99_ms: float
    errors: int

    @property
    def per_core(self) -> float:
        """Requests per CPU second of the proxy."""
        return 1000.0 / self.cpu_ms if self.cpu_ms else 0.0


def tree(pid: int) -> list[int]:
    """The process and all its descendants."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        children = (task / "children").read_text().split()
        for child in children:
            found += tree(int(child))
    return found


def cpu_seconds(pid: int) -> float:
    """CPU time of a process tree so far."""
    total = 0
    for member in tree(pid):
        for stat in Path(f"/proc/{member}/task").glob("*/schedstat"):
            total += int(stat.read_text().split()[0])
    return total / 1e9


def rss_mib(pid: int) -> float:
    """Resident memory of a process tree."""
    pages = sum(int(Path(f"/proc/{member}/statm").read_text().split()[1]) for member in tree(pid))
    return pages * 4096 / 2**20


VARIED = Path(__file__).parent / "targets" / "varied.lua"


def wrk(url: str, pid: int | None, *, connections: int, seconds: float, load_cpu: str, varied: bool = False) -> Sample:
    """Closed-loop HTTP/1.1 load with wrk, one thread; ``varied``: no two requests, and no two responses, are equal."""
    command = ["taskset", "-c", load_cpu, "wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--latency"]
    for header in TYPICAL_HEADERS:
        command += ["-H", header]
    if varied:
        command += ["-s", str(VARIED)]
    before = cpu_seconds(pid) if pid else 0.0
    text = subprocess.run([*command, url], check=True, capture_output=True, text=True).stdout
    used = cpu_seconds(pid) - before if pid else 0.0
    requests = int(re.search(r"(\d+) requests in", text)[1])
    if not requests:
        raise RuntimeError(f"{url} answered nothing:\n{text}")
    return Sample(
        rps=float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1]),
        cpu_ms=1000.0 * used / max(requests, 1),
        p50_ms=_milliseconds(re.search(r"^ +50% +(\S+)", text, re.MULTILINE)[1]),
        p99_ms=_milliseconds(re.search(r"^ +99% +(\S+)", text, re.MULTILINE)[1]),
        errors=_failures(text),
    )


def _failures(text: str) -> int:
    wrong = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    sockets = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    return int(wrong[1]) * bool(wrong) if wrong else sum(map(int, sockets.groups())) if sockets else 0


def h2load(url: str, pid: int | None, *, connections: int, streams: int, seconds: float, load_cpu: str) -> Sample:
    """Closed-loop HTTP/2 load with h2load, one thread."""
    command = ["taskset", "-c", load_cpu, "h2load", "-t1", f"-c{connections}", f"-m{streams}", f"-D{seconds:g}"]
    for header in TYPICAL_HEADERS:
        command += ["-H", header]
    before = cpu_seconds(pid) if pid else 0.0
    text = subprocess.run([*command, url], check=True, capture_output=True, text=True).stdout
    used = cpu_seconds(pid) - before if pid else 0.0
    done = re.search(r"requests: \d+ total, \d+ started, \d+ done, (\d+) succeeded, (\d+) failed, (\d+) errored", text)
    request_time = re.search(r"time for request:\s+\S+\s+\S+\s+(\S+)", text)
    return Sample(
        rps=int(done[1]) / seconds,
        cpu_ms=1000.0 * used / max(int(done[1]), 1),
        p50_ms=_milliseconds(request_time[1]) if request_time else 0.0,
        p99_ms=0.0,
        errors=int(done[2]) + int(done[3]),
    )


def fixed_rate(url: str, pid: int | None, *, rate: int, seconds: float, load_cpu: str) -> Sample:
    """Open-loop latency at a fixed rate over one connection (h2load with --h1, per-request log)."""
    log = Path(f"/tmp/meshd-bench-{pid or 0}.tsv")
    log.unlink(missing_ok=True)
    command = ["taskset", "-c", load_cpu, "h2load", "--h1", "-t1", "-c1", "-m1", f"-D{seconds:g}", f"--rps={rate}"]
    for header in TYPICAL_HEADERS:
        command += ["-H", header]
    before = cpu_seconds(pid) if pid else 0.0
    subprocess.run([*command, f"--log-file={log}", url], check=True, capture_output=True, text=True)
    used = cpu_seconds(pid) - before if pid else 0.0
    rows = [line.split("\t") for line in log.read_text().splitlines()]
    micros = sorted(int(row[2]) for row in rows)
    log.unlink()
    bad = sum(1 for row in rows if row[1] != "200")
    return Sample(
        rps=len(rows) / seconds,
        cpu_ms=1000.0 * used / max(len(rows), 1),
        p50_ms=micros[len(micros) // 2] / 1000.0,
        p99_ms=micros[int(len(micros) * 0.99)] / 1000.0,
        errors=bad,
    )


def _milliseconds(text: str) -> float:
    match = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text)
    if match is None:
        raise RuntimeError(f"no latency: {text!r}")
    number, unit = match.groups()
    return float(number) * {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60000.0}[unit]
