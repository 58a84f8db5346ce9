"""``meshd analyze``: what it prints and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from meshd.cli.main import app
from meshd.modes.analysis import ISTIOCTLS

runner = CliRunner()

ROUTE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: shop
  namespace: {namespace}
  annotations: {{{annotations}}}
spec:
  hosts: [shop]
  http:
  - route:
    - destination: {{host: {host}}}
"""
SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: shop}
spec:
  ports: [{name: web, port: 80}]
"""
SNIFFED = (
    'port 80 (targetPort 80) has the name "web", which says no protocol: it is sniffed; '
    "name it PROTOCOL[-SUFFIX] or set appProtocol"
)
NOT_FOUND = 'nobody has the host "shopp" (that is shopp.default.svc.cluster.local): requests for it get 503'
LOST = ROUTE.format(host="shopp", namespace="default", annotations="")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "vs.yaml").write_text(LOST)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "service.yaml").write_text(SERVICE)
    return tmp_path


def run(*arguments: object, stdin: str | None = None) -> tuple[int, str]:
    result = runner.invoke(app, ["analyze", *(str(each) for each in arguments)], input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def codes(output: str) -> list[str]:
    return [each["code"] for each in json.loads(output)]


def test_for_people(folder: Path) -> None:
    code, output = run(folder)
    assert code == 1
    assert output.splitlines() == [
        f"{folder}/deep/service.yaml",
        "  5:11  Info  IST0118  Service default/shop",
        f"        {SNIFFED}",
        "",
        f"{folder}/vs.yaml",
        "  11:27  Error  IST0101  VirtualService default/shop",
        f"         {NOT_FOUND.replace('that is', 'did you mean').replace(')', '?)').replace('shopp.', 'shop.')}",
        "",
        "What to do",
        "  IST0101  Correct the name, write what is missing, or hand in the files that hold it.",
        "  IST0118  Name the port PROTOCOL or PROTOCOL-SUFFIX (http, http2, grpc, tls, tcp ...), or set appProtocol.",
        "",
        "1 error, 1 info in 2 documents of 2 files.",
    ]


def test_for_programs(folder: Path) -> None:
    code, output = run(folder / "vs.yaml", "-o", "json")
    assert code == 1
    assert json.loads(output) == [
        {
            "code": "IST0101",
            "level": "Error",
            "message": NOT_FOUND,
            "origin": "VirtualService default/shop",
            "reference": f"{folder}/vs.yaml:11:27",
            "documentationUrl": "https://istio.io/latest/docs/reference/config/analysis/ist0101/",
        }
    ]
    assert yaml.safe_load(run(folder / "vs.yaml", "-o", "yaml")[1]) == json.loads(output)


def test_as_istioctl_writes_it(folder: Path) -> None:
    line = f"Error [IST0101] (VirtualService default/shop {folder}/vs.yaml:11:27) {NOT_FOUND}\n"
    assert run(folder / "vs.yaml", "-o", "log") == (1, line)


def test_nothing_to_say(tmp_path: Path) -> None:
    (tmp_path / "service.yaml").write_text(SERVICE.replace("web", "http"))
    assert run(tmp_path) == (0, "No problems in 1 document of 1 file.\n")
    assert run(tmp_path, "-o", "json") == (0, "[]\n")


def test_standard_input() -> None:
    code, output = run("-", "-o", "json", stdin=LOST)
    assert code == 1
    assert json.loads(output)[0]["reference"] == "<stdin>:11:27"


@pytest.mark.parametrize(("threshold", "code"), [("Error", 0), ("Warning", 0), ("info", 1)])
def test_failure_threshold(folder: Path, threshold: str, code: int) -> None:
    assert run(folder / "deep", "--failure-threshold", threshold)[0] == code


def test_output_threshold_changes_no_exit_code(folder: Path) -> None:
    code, output = run(folder / "deep", "--output-threshold", "Error", "--failure-threshold", "Info", "-o", "json")
    assert (code, output) == (1, "[]\n")


@pytest.mark.parametrize(
    "suppress",
    [
        "IST0101=VirtualService default/shop",
        "IST0101=VirtualService shop.default",
        "IST0101=VirtualService default/*",
        "ist0101=*",
        "IST0101",
        "IST*=* */*",
    ],
)
def test_suppression(folder: Path, suppress: str) -> None:
    code, output = run(folder / "vs.yaml", "-S", suppress)
    assert code == 0
    assert output == "No problems in 1 document of 1 file (1 suppressed).\n"


def test_suppression_of_something_else(folder: Path) -> None:
    assert run(folder / "vs.yaml", "-S", "IST0101=VirtualService prod/shop", "-S", "IST0118=*")[0] == 1


def test_suppression_by_annotation(tmp_path: Path) -> None:
    for number, said in enumerate(["IST0101", '"*"', '"IST0001, IST0101"']):
        annotations = f"galley.istio.io/analyze-suppress: {said}"
        (tmp_path / f"{number}.yaml").write_text(
            ROUTE.format(host="shopp", namespace=f"n{number}", annotations=annotations)
        )
    assert run(tmp_path, "-o", "json") == (0, "[]\n")
    text = ROUTE.format(host="shopp", namespace="x", annotations="galley.istio.io/analyze-suppress: IST0118")
    assert run("-", stdin=text)[0] == 1


def test_a_broken_document_can_be_suppressed_by_its_annotation(tmp_path: Path) -> None:
    text = ROUTE.format(host="x", namespace="x", annotations='galley.istio.io/analyze-suppress: "*"')
    assert run("-", stdin=text.replace("hosts:", "hots:"))[0] == 0


HOSTS = ("--analyzer", "virtualservice.DestinationHostAnalyzer")


def test_namespace(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(ROUTE.format(host="lost", namespace="one", annotations=""))
    (tmp_path / "b.yaml").write_text(ROUTE.format(host="lost", namespace="two", annotations=""))
    (tmp_path / "c.yaml").write_text(LOST.replace("  namespace: default\n", ""))

    def origins(*flags: str) -> list[str]:
        return [
            each["origin"].removeprefix("VirtualService ")
            for each in json.loads(run(tmp_path, "-o", "json", *HOSTS, *flags)[1])
        ]

    assert origins() == ["one/shop", "two/shop", "default/shop"]
    assert origins("-n", "two") == ["two/shop"]
    assert origins("-n", "four", "-A") == ["one/shop", "two/shop", "four/shop"]
    assert origins("-n", "three") == ["three/shop"]


def test_mesh_config(tmp_path: Path) -> None:
    policy = """\
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p, namespace: here}
spec: {rules: [{}]}
---
apiVersion: v1
kind: Pod
metadata: {name: w, namespace: there}
spec: {containers: [{name: istio-proxy, image: x}]}
"""
    (tmp_path / "mesh.yaml").write_text("rootNamespace: here\n")
    only = ("--analyzer", "authz.AuthorizationPoliciesAnalyzer", "-o", "json")
    assert codes(run("-", *only, stdin=policy)[1]) == ["IST0127"]
    assert codes(run("-", *only, "--mesh-config", tmp_path / "mesh.yaml", stdin=policy)[1]) == []


def test_mesh_networks(tmp_path: Path) -> None:
    (tmp_path / "networks.yaml").write_text("networks:\n  a:\n    endpoints:\n    - fromRegistry: far\n")
    code, output = run(tmp_path / "none", "-o", "json", "--mesh-networks", tmp_path / "networks.yaml")
    assert code == 65
    places = {each["code"]: each["reference"].rpartition("/")[2] for each in json.loads(output)}
    assert (places["MD0007"], places["IST0126"]) == ("none", "networks.yaml:4:21")


def test_directories_in_directories(folder: Path) -> None:
    assert "IST0118" in codes(run(folder, "-o", "json")[1])
    assert "IST0118" not in codes(run(folder, "-o", "json", "--no-recursive")[1])


@pytest.mark.parametrize("text", ["a: [", "a: b\n\tc: d\n", "\x00"])
def test_what_cannot_be_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.yaml").write_text(text)
    code, output = run(tmp_path, "-o", "json")
    assert code == 65
    assert codes(output) == ["MD0001"]
    assert run(tmp_path, "--ignore-unknown")[0] == 0


def test_a_path_that_is_not_there() -> None:
    code, output = run("/nowhere/at-all.yaml")
    assert code == 65
    assert "there is no such file or directory" in output


def test_one_analyzer(folder: Path) -> None:
    assert codes(run(folder, "-o", "json", "--analyzer", "service.PortNameAnalyzer")[1]) == ["IST0118"]
    assert codes(run("-", "-o", "json", "--analyzer", "service.PortNameAnalyzer", stdin=LOST + "  x: y\n")[1]) == []
    validation = "schema.ValidationAnalyzer.VirtualService"
    assert codes(run("-", "-o", "json", "--analyzer", validation, stdin=LOST + "  x: y\n")[1]) == ["IST0106"]


def test_istioctls_names_of_analyzers() -> None:
    names = {each["name"] for each in json.loads(run("-L", "-o", "json")[1])}
    assert set(ISTIOCTLS.values()) <= names
    assert names.isdisjoint(ISTIOCTLS)
    assert run("-", "--analyzer", "auth.AuthorizationPoliciesAnalyzer", stdin=LOST)[0] == 0


def test_analyzers_on_request() -> None:
    text = SERVICE.replace("name: shop}", 'name: shop, annotations: {networking.istio.io/exportTo: "*"}}')
    assert "IST0136" not in codes(run("-", "-o", "json", stdin=text)[1])
    assert codes(run("-", "-o", "json", "--analyzer", "maturity.AlphaAnalyzer", stdin=text)[1]) == ["IST0136"]


def test_list_of_analyzers() -> None:
    code, output = run("--list-analyzers")
    assert code == 0
    assert "gateway.ConflictingGatewayAnalyzer" in output
    names = [each["name"] for each in json.loads(run("-L", "-o", "json")[1])]
    assert names == sorted(set(names))
    assert "schema.ValidationAnalyzer.Gateway" in names


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give files or directories"),
        (("-", "--analyzer", "nobody"), "is no analyzer"),
        (("-", "-S", "nonsense"), "suppresses nothing"),
        (("-", "--failure-threshold", "Fatal"), "is none of Info, Warning, Error"),
        (("-", "-o", "xml"), "is none of table, log, json, yaml"),
    ],
)
def test_usage(arguments: tuple[str, ...], message: str) -> None:
    code, output = run(*arguments, stdin="")
    assert code == 2
    assert message in " ".join(output.split())
