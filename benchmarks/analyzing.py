"""``python -m benchmarks.analyzing``: how long ``meshd analyze`` takes, and how much memory.

Every run is a new process, from the first import to the last line of the
report, over files as a person keeps them, ten services a file: Service,
VirtualService with three rules, DestinationRule with two subsets,
AuthorizationPolicy, two Deployments. Once more with the 10,000 documents
written in another style (flow, quotes, anchors), which takes the whole YAML
parser. Medians of the runs; goals and floors are beside them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import attrs

MIB = 1 << 20

SERVICES_A_FILE = 10


@attrs.frozen
class Case:
    """One mesh to analyze. Seconds and MiB; ``floor`` must be kept, ``goal`` is aimed at."""

    name: str
    services: int
    goal: float
    floor: float
    memory: float
    usual: bool = True
    """Block style; else a mixture that no quick reader takes."""


CASES = (
    Case("1,000 VirtualServices with what belongs to them", 1000, 3.0, 4.0, 600.0),
    Case("10,000 documents", 1667, 8.0, 12.0, 600.0),
    Case("10,000 documents in another style of YAML", 1667, 8.0, 12.0, 600.0, usual=False),
)


@attrs.frozen
class Run:
    """One process."""

    seconds: float
    cpu: float
    memory: float
    findings: int
    status: int


def documents(number: int, *, usual: bool) -> Iterator[str]:
    """What belongs to one service: six documents."""
    name, space = f"svc{number}", f"ns{number % 20}"
    head = f"metadata:\n  name: {name}\n  namespace: {space}\n"
    if not usual:
        head = f'metadata: {{name: &name "{name}", namespace: {space}, labels: {{app: *name}}}}  # whose it is\n'
    yield (
        f"apiVersion: v1\nkind: Service\n{head}spec:\n  selector:\n    app: {name}\n"
        "  ports:\n  - name: http\n    port: 8080\n    targetPort: 8080\n"
    )
    yield (
        f"apiVersion: networking.istio.io/v1\nkind: VirtualService\n{head}spec:\n  hosts:\n  - {name}\n"
        f"  - {name}.example.com\n  http:\n"
        "  - name: tester\n    match:\n    - headers:\n        end-user:\n          exact: jason\n"
        f"    route:\n    - destination:\n        host: {name}\n        subset: v2\n"
        "  - name: api\n    match:\n    - uri:\n        prefix: /api/v1/\n    - uri:\n        exact: /api\n"
        f"    timeout: 5s\n    retries:\n      attempts: 2\n      perTryTimeout: 2s\n"
        f"    route:\n    - destination:\n        host: {name}\n        subset: v1\n"
        f"  - name: rest\n    route:\n    - destination:\n        host: {name}\n        subset: v1\n      weight: 80\n"
        f"    - destination:\n        host: {name}\n        subset: v2\n      weight: 20\n"
    )
    yield (
        f"apiVersion: networking.istio.io/v1\nkind: DestinationRule\n{head}spec:\n  host: {name}\n"
        "  trafficPolicy:\n    connectionPool:\n      tcp:\n        maxConnections: 100\n"
        "  subsets:\n  - name: v1\n    labels:\n      version: v1\n  - name: v2\n    labels:\n      version: v2\n"
    )
    yield (
        f"apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n{head}spec:\n  selector:\n    matchLabels:\n"
        f"      app: {name}\n  rules:\n  - from:\n    - source:\n        principals:\n"
        f"        - cluster.local/ns/{space}/sa/svc{number + 1}\n    to:\n    - operation:\n        methods:\n"
        "        - GET\n        - POST\n        paths:\n        - /api/*\n        ports:\n        - '8080'\n"
    )
    for version in ("v1", "v2"):
        yield (
            f"apiVersion: apps/v1\nkind: Deployment\n{head.replace(name, f'{name}-{version}')}"
            f"spec:\n  selector:\n    matchLabels:\n      app: {name}\n      version: {version}\n  template:\n"
            f"    metadata:\n      labels:\n        app: {name}\n        version: {version}\n    spec:\n"
            f"      serviceAccountName: {name}\n      containers:\n      - name: app\n        image: app:1\n"
            "        ports:\n        - containerPort: 8080\n"
        )


def write(folder: Path, services: int, *, usual: bool = True) -> int:
    """Write a mesh, ten services a file; the number of its documents."""
    count = 0
    for start in range(0, services, SERVICES_A_FILE):
        numbers = range(start, min(start + SERVICES_A_FILE, services))
        texts = [text for number in numbers for text in documents(number, usual=usual)]
        count += len(texts)
        (folder / f"services-{start:05d}.yaml").write_text("---\n".join(texts), encoding="utf-8")
    return count


def run(folder: Path) -> Run:
    """One cold ``meshd analyze``."""
    command = [sys.executable, "-m", "meshd", "analyze", str(folder), "-o", "json"]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    cpu = usage.ru_utime + usage.ru_stime
    findings = json.loads(output) if output else []
    return Run(seconds, cpu, usage.ru_maxrss * 1024 / MIB, len(findings), process.returncode)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.analyzing", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    print(
        f"{'mesh':<50}{'documents':>10}{'wall s':>9}{'cpu s':>8}{'goal':>7}{'floor':>7}{'MiB':>7}{'goal':>6}{'findings':>10}"
    )
    for case in CASES:
        with tempfile.TemporaryDirectory(prefix="meshd-analyzing-") as name:
            count = write(Path(name), case.services, usual=case.usual)
            runs = [run(Path(name)) for _ in range(rounds)]
        wall, cpu, memory = (
            statistics.median(getattr(each, field) for each in runs) for field in ("seconds", "cpu", "memory")
        )
        print(
            f"{case.name:<50}{count:>10}{wall:>9.2f}{cpu:>8.2f}{case.goal:>7.1f}{case.floor:>7.1f}"
            f"{memory:>7.0f}{case.memory:>6.0f}{runs[0].findings:>10}"
        )


if __name__ == "__main__":
    main()
