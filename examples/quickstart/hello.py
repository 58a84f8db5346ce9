"""A service that knows nothing of the mesh: it says hello, and what its sidecar says about the caller.

python hello.py PORT [GREETING]
"""

import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

GREETING = sys.argv[2] if len(sys.argv) > 2 else "Hello"


class Hello(BaseHTTPRequestHandler):
    """Answers every GET."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        certificate = self.headers.get("x-forwarded-client-cert", "")
        found = re.search(r"URI=([^;,]+)", certificate)
        caller = found[1] if found else "somebody without a certificate"
        body = f"{GREETING}, {caller}!\n".encode()
        self.send_response(200)
        self.send_header("content-type", "text/plain")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the sidecar has an access log."""


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Hello).serve_forever()
