"""``python -m benchmarks``: meshd's gateway beside its peers, interleaved.

Every round visits every target once with the same load; figures are medians
over the rounds; ratios are between rows of one run only.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.measure import Sample, fixed_rate, rss_mib, wrk
from benchmarks.targets import TARGETS, Plan, backend_command, free_port, start

PROXY_CPU, LOAD_CPU = "0", "1"


def main() -> None:
    """Parse, start, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2, help="of one run; wrk takes whole ones")
    parser.add_argument("--connections", default="16,64", help="comma-separated; one table each")
    parser.add_argument("--rate", type=int, default=500, help="requests/s of the latency table; 0 skips it")
    parser.add_argument("--only", default="", help="comma-separated target names")
    arguments = parser.parse_args()
    wanted = [name for name in arguments.only.split(",") if name]
    with tempfile.TemporaryDirectory(prefix="meshd-bench-") as folder:
        run(arguments, wanted, Path(folder))


def run(arguments: argparse.Namespace, wanted: list[str], folder: Path) -> None:
    """Start the backend and every target, take the tables, stop everything."""
    folder.chmod(0o755)
    (folder / "1k.txt").write_bytes(b"x" * 1024)
    (folder / "1k.txt").chmod(0o644)
    started: list[subprocess.Popen[bytes]] = []
    try:
        backend = Plan(free_port(), 0, folder)
        started.append(start(backend_command(backend), backend.port, cpu=LOAD_CPU, log=folder / "backend.log"))
        running: dict[str, tuple[str, int | None]] = {"direct": (f"http://127.0.0.1:{backend.port}/", None)}
        for target in TARGETS:
            if wanted and target.name not in wanted:
                continue
            if target.missing():
                print(f"# {target.name}: skipped, {target.missing()} is not installed")
                continue
            plan = Plan(free_port(), backend.port, folder)
            process = start(target.command(plan), plan.port, cpu=PROXY_CPU, log=folder / f"{target.name}.log")
            started.append(process)
            running[target.name] = (f"http://127.0.0.1:{plan.port}/", process.pid)
        tables(arguments, running)
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(10)


def tables(arguments: argparse.Namespace, running: dict[str, tuple[str, int | None]]) -> None:
    """One throughput table per number of connections, then latency at a fixed rate, then memory."""
    for connections in map(int, arguments.connections.split(",")):
        for varied in (False, True):

            def load(url: str, pid: int | None, count: int = connections, varied: bool = varied) -> Sample:  # noqa: FBT001
                return wrk(url, pid, connections=count, seconds=arguments.seconds, load_cpu=LOAD_CPU, varied=varied)

            heads = "every head different" if varied else "equal heads"
            table(f"HTTP/1.1, 1 KiB GET, {connections} connections, {heads}", running, load, arguments.rounds)
    if arguments.rate:

        def slow(url: str, pid: int | None) -> Sample:
            return fixed_rate(url, pid, rate=arguments.rate, seconds=arguments.seconds, load_cpu=LOAD_CPU)

        table(f"latency at {arguments.rate} requests/s, one connection", running, slow, arguments.rounds)
    print("\n# resident memory after the runs, MiB")
    for name, (_, pid) in running.items():
        if pid:
            print(f"{name:<10} {rss_mib(pid):8.1f}")


def table(
    title: str,
    running: dict[str, tuple[str, int | None]],
    load: Callable[[str, int | None], Sample],
    rounds: int,
) -> None:
    """Measure interleaved and print medians, with requests per core as a ratio to Envoy's."""
    samples: dict[str, list[Sample]] = {name: [] for name in running}
    for url, pid in running.values():
        load(url, pid)
    for _ in range(rounds):
        for name, (url, pid) in running.items():
            samples[name].append(load(url, pid))
    print(f"\n# {title}; medians of {rounds} interleaved rounds")
    print(
        f"{'target':<10} {'rps':>8} {'p50 ms':>8} {'p99 ms':>8} {'cpu ms/req':>11} {'rps/core':>9} {'of Envoy':>9} {'errors':>7}"
    )
    for name, rows in samples.items():
        print(_row(name, rows, samples.get("envoy", []), counted=running[name][1] is not None))


def _row(name: str, rows: list[Sample], envoy: list[Sample], *, counted: bool) -> str:
    def median(pick: Callable[[Sample], float]) -> float:
        return statistics.median(pick(row) for row in rows)

    cpu = (
        f"{median(lambda s: s.cpu_ms):11.4f} {median(lambda s: s.per_core):9.0f}" if counted else f"{'-':>11} {'-':>9}"
    )
    ratio = "-"
    if counted and envoy:
        pairs = zip(rows, envoy, strict=True)
        ratio = f"{statistics.median(a.per_core / b.per_core for a, b in pairs):.2f}"
    errors = sum(row.errors for row in rows)
    speed = f"{median(lambda s: s.rps):8.0f} {median(lambda s: s.p50_ms):8.3f} {median(lambda s: s.p99_ms):8.3f}"
    return f"{name:<10} {speed} {cpu} {ratio:>9} {errors:>7}"


if __name__ == "__main__":
    main()
