"""One HTTP route alone."""

from __future__ import annotations

import pytest

from tests.control.analysis.cases import said, text

ROUTE = "route: [{destination: {host: reviews}}]"


def of(route: str) -> list[str]:
    return said(text("VirtualService", f"{{hosts: [reviews], http: [{{{route}}}]}}"))


@pytest.mark.parametrize(
    "route",
    [
        f"{ROUTE}, match: [{{uri: {{regex: '/v[12]/.*'}}, headers: {{x: {{}}, y_z: {{exact: ''}}}}, withoutHeaders: {{a: {{regex: '*'}}}}}}]",
        f"{ROUTE}, timeout: 1ms, retries: {{attempts: 3, perTryTimeout: 2s, retryOn: '5xx, 503,reset'}}",
        f"{ROUTE}, retries: {{attempts: 0}}",
        f"{ROUTE}, fault: {{delay: {{fixedDelay: 7s, percentage: {{value: 0.1}}}}}}",
        f"{ROUTE}, fault: {{abort: {{grpcStatus: UNAVAILABLE, percentage: {{value: 100}}}}}}",
        f"{ROUTE}, headers: {{request: {{set: {{a: '1'}}, add: {{b: ''}}, remove: [c]}}}}",
        f"{ROUTE}, rewrite: {{uriRegexRewrite: {{match: '/a/(.*)', rewrite: '/b/\\1'}}, authority: x}}",
        "redirect: {uri: /x, redirectCode: 308, scheme: https, derivePort: FROM_REQUEST_PORT}",
        "redirect: {prefixRewrite: /x}, match: [{uri: {prefix: /y}}]",
        "directResponse: {status: 503, body: {string: sorry}}",
        "directResponse: {status: 200, body: {bytes: 'aGVsbG8='}}",
    ],
)
def test_good(route: str) -> None:
    assert of(route) == []


@pytest.mark.parametrize(
    ("route", "message"),
    [
        ("", "there is nothing to do: route, redirect or directResponse is needed"),
        (f"{ROUTE}, redirect: {{uri: /x}}", "route and redirect cannot stand together: choose one"),
        ("redirect: {uri: /x}, directResponse: {status: 200}", "redirect and directResponse cannot stand together"),
        ("redirect: {uri: /x}, fault: {abort: {httpStatus: 500, percentage: {value: 1}}}", "fault cannot stand with"),
        ("directResponse: {status: 200}, rewrite: {uri: /x}", "rewrite cannot stand with directResponse"),
        (f"{ROUTE}, timeout: 0s", "timeout: 0s is too short: at least 1ms"),
        (f"{ROUTE}, timeout: 100us", "timeout: 0.1ms is too short"),
        (f"{ROUTE}, timeout: -1s", "timeout: -1s is too short"),
        (f"{ROUTE}, match: [{{uri: {{exact: a, prefix: b}}}}]", "exact and prefix cannot both be given"),
        (
            f"{ROUTE}, match: [{{uri: {{regex: '('}}}}]",
            "uri.regex: '(' is not a regular expression that RE2 understands (missing ): ()",
        ),
        (f"{ROUTE}, match: [{{uri: {{regex: '(?=a)'}}}}]", "RE2 has no look-around"),
        (f"{ROUTE}, match: [{{uri: {{regex: '{'a' * 1025}'}}}}]", "is longer than 1024 bytes"),
        (f"{ROUTE}, match: [{{headers: {{'a b': {{}}}}}}]", '"a b" is not a valid header name'),
        (f"{ROUTE}, match: [{{headers: {{'': {{}}}}}}]", "a header's name is empty"),
        (
            f"{ROUTE}, match: [{{queryParams: {{a: {{regex: '['}}}}}}]",
            "queryParams.a.regex: '[' is not a regular expression",
        ),
        (f"{ROUTE}, match: [{{port: 70000}}]", "match[0].port: 70000 is not a port"),
        (f"{ROUTE}, retries: {{attempts: -1}}", "retries.attempts: -1 is negative"),
        (f"{ROUTE}, retries: {{attempts: 0, retryOn: 5xx}}", "0 attempts turn retries off"),
        (f"{ROUTE}, retries: {{retryOn: often}}", '"often" is not a retry condition or a status'),
        (f"{ROUTE}, retries: {{retryOn: '99'}}", '"99" is not a retry condition or a status'),
        (f"{ROUTE}, fault: {{}}", "fault: a fault needs delay or abort"),
        (
            f"{ROUTE}, fault: {{delay: {{percentage: {{value: 1}}}}}}",
            "warning MD0005 spec.http[0].fault.delay: without a fixedDelay nothing is delayed",
        ),
        (f"{ROUTE}, fault: {{delay: {{fixedDelay: 1s, percentage: {{value: 101}}}}}}", "101 is not a percentage"),
        (
            f"{ROUTE}, fault: {{delay: {{fixedDelay: 1s}}}}",
            "warning MD0005 spec.http[0].fault.delay: without a percentage",
        ),
        (
            f"{ROUTE}, fault: {{abort: {{httpStatus: 99, percentage: {{value: 1}}}}}}",
            "HTTP status 99 is not one to answer with",
        ),
        (
            f"{ROUTE}, fault: {{abort: {{percentage: {{value: 1}}}}}}",
            "warning spec.http[0].fault.abort: without httpStatus or grpcStatus",
        ),
        (f"{ROUTE}, fault: {{abort: {{grpcStatus: BAD, percentage: {{value: 1}}}}}}", '"BAD" is not a gRPC status'),
        (f"{ROUTE}, mirror: {{host: b}}, mirrors: [{{destination: {{host: c}}}}]", "mirror and mirrors cannot both"),
        (f"{ROUTE}, mirror: {{host: 'b/c'}}", '"b/c" is not a domain name'),
        (f"{ROUTE}, mirrorPercentage: {{value: -1}}", "-1 is not a percentage"),
        (f"{ROUTE}, headers: {{request: {{set: {{'a:b': x}}}}}}", "'a:b' is no header name"),
        (f'{ROUTE}, headers: {{response: {{add: {{a: "x\\r\\nset-cookie: y"}}}}}}', "cannot have line breaks, NUL"),
        (f'{ROUTE}, headers: {{response: {{add: {{a: "x\\0"}}}}}}', "cannot have line breaks, NUL"),
        (f"{ROUTE}, headers: {{request: {{remove: ['']}}}}", "a header name is empty"),
        ("redirect: {}", "a redirect needs uri, authority, scheme, port or prefixRewrite"),
        ("redirect: {uri: /a, prefixRewrite: /b}", "uri and prefixRewrite cannot both be given"),
        ("redirect: {prefixRewrite: /b}, match: [{uri: {exact: /a}}]", "prefixRewrite needs matches on a uri's prefix"),
        ("redirect: {uri: /a, port: 1, derivePort: FROM_REQUEST_PORT}", "port and derivePort cannot both be given"),
        ("redirect: {uri: /a, redirectCode: 200}", "200 is not a redirect"),
        ("redirect: {uri: /a, redirectCode: 304}", "304 cannot be sent by the proxy"),
        ("redirect: {authority: 'a b'}", 'redirect.authority: "a b" is not a host with or without a port'),
        (f"{ROUTE}, rewrite: {{authority: 'a/b'}}", 'rewrite.authority: "a/b" is not a host'),
        (f"{ROUTE}, headers: {{request: {{set: {{Host: 'a b'}}}}}}", 'set.Host: "a b" is not a host'),
        (
            f"{ROUTE}, headers: {{request: {{set: {{a: 'abc%def'}}}}}}",
            'headers.request.set.a: the header value configuration "abc%def" is invalid',
        ),
        (f"{ROUTE}, headers: {{response: {{add: {{content-length: '1'}}}}}}", "cannot be set: remove this edit"),
        (f"{ROUTE}, rewrite: {{uri: '/a b'}}", "holds a character that must be percent-encoded"),
        (f"{ROUTE}, rewrite: {{uriRegexRewrite: {{match: '(a)', rewrite: '\\2'}}}}", "uriRegexRewrite.match: "),
        (f"{ROUTE}, timeout: 1.0000001s", "is finer than a millisecond"),
        ("redirect: {uri: /a, scheme: ftp}", '"ftp" is not a scheme'),
        ('redirect: {uri: "/a\\r\\nx: y"}', 'redirect.uri: "/a\\r'),
        ("directResponse: {status: 600}", "warning MD0005 spec.http[0].directResponse.status: no client"),
        ("directResponse: {status: 100}", "HTTP status 100 is not one to answer with"),
        ("directResponse: {status: 200, body: {bytes: '!'}}", "body.bytes: expected base64"),
        (
            f"directResponse: {{status: 200, body: {{string: {'x' * 110_000}}}}}",
            "warning spec.http[0].directResponse.body",
        ),
        (
            f"directResponse: {{status: 200, body: {{string: {'x' * 1_100_000}}}}}",
            "error spec.http[0].directResponse.body",
        ),
        (f"{ROUTE}, rewrite: {{}}", "a rewrite needs uri, uriRegexRewrite or authority"),
        (f"{ROUTE}, rewrite: {{uri: /a, uriRegexRewrite: {{match: a, rewrite: b}}}}", "uri and uriRegexRewrite cannot"),
        (f"{ROUTE}, rewrite: {{uriRegexRewrite: {{match: a}}}}", "both match and rewrite are needed"),
        (
            f"{ROUTE}, rewrite: {{authority: a}}, headers: {{request: {{set: {{host: b}}}}}}",
            "is set by headers.request",
        ),
        (f"{ROUTE}, corsPolicy: {{allowOrigins: [{{}}]}}", "corsPolicy.allowOrigins[0]: an origin needs exact"),
        (f"{ROUTE}, corsPolicy: {{allowOrigins: [{{regex: '('}}]}}", "corsPolicy.allowOrigins[0].regex"),
        (f"{ROUTE}, corsPolicy: {{allowMethods: [get]}}", '"get" is not an HTTP method'),
        (f"{ROUTE}, corsPolicy: {{allowHeaders: ['a b']}}", '"a b" is not a valid header name'),
        (f"{ROUTE}, corsPolicy: {{maxAge: 1.5s}}", "whole seconds"),
        (f"{ROUTE}, match: [{{headers: {{a: {{regex: '*'}}}}}}]", '"*" alone is not a regular expression'),
        (f"{ROUTE}, match: [{{method: {{prefix: ''}}}}]", "method.prefix: the prefix is empty"),
        (f"{ROUTE}, match: [{{queryParams: {{q: {{regex: ''}}}}}}]", "the regular expression is empty"),
        (f"{ROUTE}, match: [{{sourceNamespace: A_B}}]", '"A_B" is not a namespace'),
        (f"{ROUTE}, match: [{{gateways: [a/]}}]", '"a/" is not a gateway'),
        (f"{ROUTE}, retries: {{retryOn: 5xx}}", "attempts left out, which is 0, turn retries off"),
        (f"{ROUTE}, fault: {{delay: {{exponentialDelay: 1s}}}}", "exponentialDelay is not implemented"),
        (f"{ROUTE}, fault: {{abort: {{http2Error: x}}}}", "http2Error is not implemented"),
        (f"{ROUTE}, fault: {{abort: {{httpStatus: 500, grpcStatus: OK}}}}", "httpStatus and grpcStatus cannot both"),
        (f"{ROUTE}, fault: {{abort: {{httpStatus: 500, percentage: {{value: 0.00001}}}}}}", "too small a percentage"),
        (f"{ROUTE}, headers: {{response: {{set: {{host: x}}}}}}", '"host" is no header to edit here'),
        (f"{ROUTE}, headers: {{request: {{remove: [':path']}}}}", '":path" belongs to the request line'),
        (
            f'{ROUTE}, headers: {{request: {{set: {{a: \'%UPSTREAM_METADATA(["a", "b"])%\'}}}}}}',
            "warning MD0002 spec.http[0].headers.request.set.a",
        ),
        (f"{ROUTE}, headers: {{request: {{set: {{host: a, ':authority': b}}}}}}", "both set the authority"),
    ],
)
def test_bad(route: str, message: str) -> None:
    assert any(message in line for line in of(route)), of(route)


def test_a_mirror_says_that_it_does_nothing_yet() -> None:
    [warning] = of(f"{ROUTE}, mirror: {{host: b}}")
    assert "meshd does not support this field yet" in warning
