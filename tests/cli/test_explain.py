"""``meshd explain`` as a command: flags, formats, exit codes, and what a mistake is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from meshd.cli.main import app
from meshd.errors import StartError
from tests.explain.test_simulation import ADDRESS, PROXY_ADDRESS, cases

MESH = """
apiVersion: v1
kind: Service
metadata: {name: reviews}
spec:
  selector: {app: reviews}
  ports: [{name: http, port: 9080}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - match: [{uri: {prefix: /old}}]
    redirect: {uri: /new}
  - match: [{uri: {prefix: /reviews}}]
    route: [{destination: {host: reviews}}]
"""
BROKEN = """
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: broken}
spec:
  hots: [reviews]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "mesh.yaml"
    path.write_text(MESH)
    return path


def run(*arguments: object, stdin: str = "") -> Result:
    return CliRunner().invoke(app, ["explain", *map(str, arguments)], input=stdin)


def explained(*arguments: object) -> dict[str, Any]:
    return json.loads(run(*arguments, "-o", "json").stdout)


def test_what_is_served_is_exit_code_0(config: Path) -> None:
    result = run("GET", "http://reviews:9080/reviews/0", "--config", config)
    assert result.exit_code == 0
    assert result.stdout.startswith("GET http://reviews:9080/reviews/0\n\nallow: it goes to reviews.default")
    assert "\x1b" not in result.stdout


def test_what_goes_nowhere_is_exit_code_3(config: Path) -> None:
    result = run("GET", "http://reviews:9080/", "--config", config)
    assert result.exit_code == 3
    assert "no-route 404" in result.stdout


def test_the_document_for_programs(config: Path) -> None:
    found = explained("GET", "http://reviews:9080/reviews/0", "-c", config, "--from", "default/web")
    expected = {
        "verdict": "allow",
        "status": 0,
        "listener": "0.0.0.0_9080",
        "route_config": "9080",
        "virtual_host": "reviews.default.svc.cluster.local:9080",
        "route": {
            "name": "default",
            "resource": "VirtualService default/reviews",
            "rule": 1,
            "file": f"{config}:17",
        },
        "cluster": "outbound|9080||reviews.default.svc.cluster.local",
        "endpoints": [],
        "mtls": "mutual",
        "timeout": 0.0,
        "rewritten": {"path": "", "host": ""},
    }
    assert {key: found[key] for key in expected} == expected
    assert found["retries"]["attempts"] == 2
    assert "connect-failure" in found["retries"]["on"]
    (rule,) = (step for step in found["steps"] if step["at"] == "route" and not step["matched"])
    assert rule == {
        "at": "route",
        "rule": 0,
        "match": 0,
        "matched": False,
        "because": "uri: prefix '/old' != '/reviews/0'",
        "name": "default",
        "resource": "VirtualService default/reviews",
        "file": f"{config}:15",
    }


def test_yaml(config: Path) -> None:
    result = run("GET", "http://reviews:9080/old", "-c", config, "-o", "yaml")
    assert result.exit_code == 0
    found = yaml.safe_load(result.stdout)
    assert (found["verdict"], found["status"], found["location"]) == ("redirect", 301, "http://reviews:9080/new")


def test_several_calls_are_one_document_a_line(config: Path, tmp_path: Path) -> None:
    calls = tmp_path / "calls.yaml"
    calls.write_text(
        """
        - {url: "http://reviews:9080/reviews/0", from: default/web, headers: ["end-user: jason"]}
        - {method: POST, url: "http://reviews:9080/nowhere", headers: {end-user: jason}}
        """
    )
    result = run("--calls", calls, "--config", config)
    assert result.exit_code == 3
    first, second = (json.loads(line) for line in result.stdout.splitlines())
    assert (first["verdict"], first["proxy"]) == ("allow", "sidecar of default/web, outbound")
    assert (second["verdict"], second["status"]) == ("no-route", 404)


def test_flags_hold_for_every_call_that_does_not_say_otherwise(config: Path) -> None:
    calls = """
    - {url: "http://reviews:9080/reviews/0"}
    - url: http://reviews:9080/reviews/0
      mode: inbound
      headers:
      - x-number: 5
    """
    result = run("--calls", "-", "--config", config, "--from", "shop/web", "-H", "x-all: yes", stdin=calls)
    first, second = (json.loads(line) for line in result.stdout.splitlines())
    assert first["proxy"] == "sidecar of shop/web, outbound"
    assert first["headers"]["x-all"] == "yes"
    assert second["proxy"] == "sidecar of default/anybody, inbound"
    assert "x-all" not in second["headers"]
    assert second["headers"]["x-number"] == "5"


def test_several_stories_and_several_yaml_documents(config: Path) -> None:
    calls = "- url: http://reviews:9080/reviews/0\n- url: http://reviews:9080/old\n"
    stories = run("--calls", "-", "--config", config, "-o", "text", stdin=calls).stdout
    assert stories.count("GET http://") == 2
    assert "\n\nGET http://reviews:9080/old\n" in stories
    documents = [*yaml.safe_load_all(run("--calls", "-", "-c", config, "-o", "yaml", stdin=calls).stdout)]
    assert [each["verdict"] for each in documents] == ["allow", "redirect"]


def test_configuration_from_standard_input() -> None:
    result = run("GET", "http://reviews:9080/reviews/0", "--config", "-", stdin=MESH)
    assert result.exit_code == 0
    assert "<stdin>:17" in result.stdout


FILTER = """
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {{name: more, namespace: {namespace}}}
spec: {{workloadSelector: {{labels: {{app: {app}}}}}, configPatches: []}}
"""


@pytest.mark.parametrize(
    ("namespace", "app", "told"),
    [
        ("default", "productpage", True),
        ("istio-system", "productpage", True),
        ("default", "ratings", False),
        ("other", "productpage", False),
    ],
)
def test_a_kind_without_effect_is_told_where_it_is_for_who_calls(
    config: Path, namespace: str, app: str, told: bool
) -> None:
    config.write_text(MESH + FILTER.format(namespace=namespace, app=app))
    asked = ("GET", "http://reviews:9080/reviews/0", "--from", "default/page", "--labels", "app=productpage")
    stderr = run(*asked, "--config", config).stderr
    assert (f"MD0003 EnvoyFilter {namespace}/more" in stderr) is told


def test_a_document_with_a_mistake_is_left_out_and_told(config: Path) -> None:
    config.write_text(MESH + BROKEN)
    result = run("GET", "http://reviews:9080/reviews/0", "--config", config)
    assert result.exit_code == 0
    assert "meshd: left out: " in result.stderr
    assert "hots" in result.stderr
    assert "hots" not in result.stdout


def test_warnings_about_what_has_a_part_are_told_once(config: Path) -> None:
    # A field that is parsed and does nothing yet, here and in a document that has no part in it.
    text = MESH.replace("{uri: {prefix: /old}}", "{uri: {prefix: /old}, statPrefix: x}")
    config.write_text(f"{text}---{text.replace('name: reviews', 'name: ratings').replace('[reviews]', '[ratings]')}")
    calls = "- {url: http://reviews:9080/old}\n- {url: http://reviews:9080/reviews/}\n"
    result = run("--calls", "-", "--config", config, stdin=calls)
    assert result.exit_code == 0
    (line,) = result.stderr.splitlines()
    assert "warning" in line
    assert "VirtualService default/reviews" in line


def test_a_mesh_of_nothing_is_a_mesh(tmp_path: Path) -> None:
    result = run("GET", "http://example.org/", "--config", tmp_path)
    assert result.exit_code == 0
    assert "where the client was going" in result.stdout
    assert f"no configuration in {tmp_path}" in result.stderr


def test_nothing_that_can_be_used_is_exit_code_65(config: Path) -> None:
    config.write_text(BROKEN)
    for path in (config, config.parent / "nowhere.yaml"):
        with pytest.raises(StartError) as raised:
            CliRunner().invoke(
                app, ["explain", "GET", "http://reviews:9080/", "--config", str(path)], catch_exceptions=False
            )
        assert raised.value.exit_code == 65


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["GET"], "give METHOD and URL, or --calls FILE"),
        (["GET", "http://reviews/", "--calls", "x"], "give METHOD and URL, or --calls FILE"),
        (["GET", "ftp://reviews/"], "expected http, https or tcp"),
        (["GET", "http://"], "is no URL to call"),
        (["GET", "http://reviews:99999/"], "is no URL to call"),
        (["GET", "tcp://reviews"], "has no port"),
        (["G T", "http://reviews/"], "is no method"),
        (["GET", "http://reviews/", "-H", "end-user"], "expected 'name: value'"),
        (["GET", "http://reviews/", "-H", "a b: c"], "is no header name"),
        (["GET", "http://reviews/", "--labels", "app"], "expected KEY=VALUE"),
        (["GET", "http://reviews/", "--mode", "sideways"], "expected outbound, inbound, gateway"),
        (["GET", "http://reviews/", "--from", "a/b", "--through", "c"], "--from or --through, not both"),
        (["GET", "http://reviews/", "--from", "a/b/c"], "expected NAMESPACE/SERVICE-ACCOUNT"),
        (["GET", "http://reviews/", "--from", "a/b", "--mode", "gateway"], "--from names a sidecar's workload"),
        (["GET", "http://reviews/", "--through", "a", "--mode", "inbound"], "--through names a gateway"),
        (["GET", "http://reviews/", "--address", "reviews:80"], "is no IP address"),
        (["GET", "http://reviews/", "--tls", "ssl"], "expected plaintext, tls, mtls"),
        (["GET", "http://reviews/", "--protocol", "quic"], "expected http, http2, tcp"),
        (["GET", "http://reviews/", "--alpn", "h2"], "--alpn is a part of TLS"),
        (["GET", "http://reviews/", "--peer", "spiffe://a/b"], "needs --tls mtls"),
        (["GET", "http://reviews/", "--tls", "mtls", "--peer", "me"], "is no SPIFFE id"),
        (["GET", "http://reviews/", "--client", "me"], "is no IP address"),
        (["GET", "http://reviews/", "-o", "xml"], "is none of text, json, yaml"),
        (["GET", "http://reviews/", "--control", "https://x"], "--config or --control, not both"),
    ],
)
def test_mistakes_are_told_and_exit_code_2(config: Path, arguments: list[str], message: str) -> None:
    result = run(*arguments, "--config", config)
    assert result.exit_code == 2, result.output
    assert message in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("calls", "message"),
    [
        ("{}", "expected a list of calls"),
        ("- 5", "call 0: expected a mapping"),
        ("- {method: GET}", "call 0: a call needs a url"),
        (
            "- {url: 'http://reviews/'}\n- {url: 'http://reviews/', form: a/b}",
            "call 1: 'form' is no option of a call; did you mean 'from'?",
        ),
        ("- {url: 'http://reviews/', headers: 5}", "headers: expected a mapping or a list"),
        ("- {url: 'http://reviews/', tls: true}", "tls: expected text, found True"),
        ("- [", "while parsing"),
    ],
)
def test_a_file_of_calls_with_a_mistake(config: Path, calls: str, message: str) -> None:
    result = run("--calls", "-", "--config", config, stdin=calls)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.replace("│", " ").split())


def test_mesh_settings_need_files(config: Path) -> None:
    result = run("GET", "http://reviews/", "--mesh-config", config)
    assert result.exit_code == 2
    assert "go with --config" in " ".join(result.stderr.split())


def test_without_a_control_plane_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHD_RUNTIME_DIR", str(tmp_path))
    with pytest.raises(StartError, match="no control plane of yours on this machine") as raised:
        CliRunner().invoke(app, ["explain", "GET", "http://reviews/"], catch_exceptions=False)
    assert raised.value.exit_code == 69


def test_a_flag_s_variable_is_its_name(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHD_EXPLAIN_FROM", "shop/web")
    assert (
        explained("GET", "http://reviews.default:9080/", "--config", config)["proxy"] == "sidecar of shop/web, outbound"
    )


@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{case['test']} {case['name']}")
def test_istio_s_simulation_can_be_asked_by_flags(case: dict[str, Any], tmp_path: Path) -> None:
    """The command finds what the library finds (``tests/explain/test_simulation.py``)."""
    (tmp_path / "case.yaml").write_text("\n---\n".join((case["config"], case["kubeConfig"])))
    proxy = case["proxy"]
    for row in case["calls"]:
        call, wanted = row["Call"], row["Result"]
        mode = call.get("CallMode") or ("gateway" if proxy["type"] == "router" else "outbound")
        arguments = [
            "GET",
            f"http://{call.get('HostHeader') or 'nobody.invalid'}:{call['Port']}{call.get('Path') or '/'}",
            *("--config", tmp_path, "--mode", mode, "--proxy-ip", PROXY_ADDRESS),
            *("--namespace", proxy.get("namespace") or "default"),
            *("--address", f"[{call['Address']}]:{call['Port']}" if "Address" in call else f"{ADDRESS}:{call['Port']}"),
            *("--protocol", call.get("Protocol") or "tcp"),
        ]
        for key, flag in (("TLS", "--tls"), ("Sni", "--sni"), ("Alpn", "--alpn")):
            if call.get(key):
                arguments += [flag, call[key]]
        for label in (proxy.get("labels") or {}).items():
            arguments += ["--labels", "=".join(label)]
        found = explained(*arguments)
        for key, name in (("ListenerMatched", "listener"), ("RouteConfigMatched", "route_config")):
            assert found[name] == (wanted.get(key) or found[name])
        if wanted.get("ClusterMatched"):
            assert found["cluster"].removesuffix(".svc.cluster.local") == wanted["ClusterMatched"].removesuffix(
                ".svc.cluster.local"
            )
        if wanted.get("Error"):
            assert found["verdict"] != "allow"
