# SPDX-License-Identifier: Apache-2.0
"""WSGI (PEP 3333) and ASGI 3.0 applications as entries."""
import asyncio
import http
import inspect
import io
import sys
from urllib.parse import unquote_to_bytes

from _ol_http import BrokenAnswer


def is_asgi(app):
    """Says whether calling app returns a coroutine."""
    return inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(getattr(app, "__call__", None))


def host_and_port(headers):
    host = next((value for name, value in headers if name.lower() == "host"), "localhost")
    name, colon, port = host.rpartition(":")
    if colon and port.isdigit():
        return name, port
    return host, "80"


def environ(request, multithread):
    """The request as CGI variables (PEP 3333, RFC 3875)."""
    name, path, query = request.parts()
    headers = request.headers()
    server, port = host_and_port(headers)
    env = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "/run/" + name,
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_NAME": server,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_LENGTH": str(len(request.body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(request.body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": multithread,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in headers:
        key = name.upper().replace("-", "_")
        if key == "CONTENT_TYPE":
            env[key] = value
        elif key != "CONTENT_LENGTH":
            key = "HTTP_" + key
            env[key] = env[key] + ("; " if key == "HTTP_COOKIE" else ", ") + value if key in env else value
    return env


def wsgi(app):
    def entry(request):
        def run(started, reply):
            head = []

            def start_response(status, headers, exc_info=None):
                try:
                    if exc_info and reply.begun:
                        raise exc_info[1].with_traceback(exc_info[2])
                    if head and not exc_info:
                        raise AssertionError("start_response was called twice")
                finally:
                    exc_info = None
                head[:] = [status, list(headers)]
                return write

            def write(data):
                if not head:
                    raise AssertionError("the application sent a body before it called start_response")
                if not reply.begun:
                    reply.begin(*head)
                reply.part(data)

            result = app(environ(request, entry.threads), start_response)
            try:
                for data in result:
                    if data:
                        write(data)
                write(b"")
            finally:
                if hasattr(result, "close"):
                    result.close()
            return reply.end
        return run
    entry.threads = False  # no other thread calls app at the same time
    return entry


def reason(code):
    try:
        return "%d %s" % (code, http.HTTPStatus(code).phrase)
    except ValueError:
        return "%d Status" % code


def asgi(app):
    def entry(request):
        name, path, query = request.parts()
        raw = path.encode("latin-1")
        headers = request.headers()
        server, port = host_and_port(headers)
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": "http",
            "path": unquote_to_bytes(path).decode("utf-8", "replace"),
            "raw_path": raw,
            "query_string": query.encode("latin-1"),
            "root_path": "/run/" + name,
            "headers": [(k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in headers],
            "client": None,
            "server": (server, int(port)),
        }

        def run(started, reply):
            asyncio.run(talk(app, scope, request.body, reply))
            return reply.end
        return run
    return entry


async def talk(app, scope, body, reply):
    bodies = [body]
    head = []
    done = asyncio.Event()

    async def receive():
        if bodies:
            return {"type": "http.request", "body": bodies.pop(), "more_body": False}
        await done.wait()  # the client stays until it has its answer
        return {"type": "http.disconnect"}

    async def send(message):
        if message["type"] == "http.response.start":
            if head:
                raise RuntimeError("the application began its answer twice")
            head[:] = [reason(message["status"]), [(k.decode("latin-1"), v.decode("latin-1")) for k, v in message.get("headers", [])]]
            return
        if message["type"] != "http.response.body":
            raise RuntimeError("message %r is none of HTTP" % message["type"])
        if not head:
            raise RuntimeError("the application sent a body before it began its answer")
        if done.is_set():
            raise RuntimeError("the application goes on after the end of its answer")
        if not reply.begun:
            reply.begin(*head)
        reply.part(message.get("body", b""))
        if not message.get("more_body", False):
            done.set()

    await app(scope, receive, send)
    if not done.is_set():
        if not head:
            raise RuntimeError("the application returned without an answer")
        raise BrokenAnswer("the application returned before the end of its answer")
