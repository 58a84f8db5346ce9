"""A reverse proxy as one would write it with aiohttp: prefix route, deny check, access log, two metrics."""

from __future__ import annotations

import sys
import time
from collections import Counter

import aiohttp
from aiohttp import web

HOP_BY_HOP = {"connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade", "host"}


def build(backend: str, log_path: str) -> web.Application:
    """The application; ``backend`` is ``http://127.0.0.1:PORT``."""
    totals: Counter[tuple[str, int]] = Counter()
    durations: Counter[str] = Counter()
    log = open(log_path, "a", buffering=65536)  # noqa: SIM115  closed with the process

    async def handle(request: web.Request) -> web.Response:
        start = time.perf_counter()
        if not request.path.startswith("/"):
            return web.Response(status=403, text="RBAC: access denied")
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        headers["x-forwarded-for"] = request.remote or ""
        session: aiohttp.ClientSession = request.app["session"]
        body = await request.read() if request.body_exists else None
        async with session.request(request.method, backend + request.path_qs, headers=headers, data=body) as answer:
            data = await answer.read()
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP}
        totals[request.method, answer.status] += 1
        took = time.perf_counter() - start
        durations[request.method] += took
        log.write(f'[{time.time():.3f}] "{request.method} {request.path_qs}" {answer.status} {len(data)} {took:.6f}\n')
        return web.Response(status=answer.status, headers=kept, body=data)

    async def session(app: web.Application):
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as app["session"]:
            yield

    app = web.Application()
    app.cleanup_ctx.append(session)
    app.router.add_route("*", "/{tail:.*}", handle)
    return app


if __name__ == "__main__":
    port, backend_url, path = sys.argv[1:4]
    web.run_app(build(backend_url, path), host="127.0.0.1", port=int(port), access_log=None, print=None)
