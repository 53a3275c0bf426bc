"""The process that keeps a function's container warm.

Usage: server.py exec|fork HANDLER SOCKET

It listens on a unix socket for HTTP. A request is served by a process of its
own, and this one does as little as it can: accept and fork. Reading, parsing,
computing and answering are the child's, so the child's CPU time is the
invocation's and nothing of it hides in the parent.

fork: the child is this process, with the handler imported already.
exec: the child becomes a new interpreter, as the ALPS artifact has it.

The body is {"n": "30", "id": "20", "job": "fib", "rounds": "1"}. The answer's
last line is "id start elapsed pid n job": start in seconds since the epoch,
elapsed in seconds, pid as seen in the container.
"""
import gc
import importlib.util
import json
import os
import signal
import socket
import sys
import time
import traceback

MAX_REQUEST = 1 << 20


def load(path):
    spec = importlib.util.spec_from_file_location("f", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read_request(conn):
    """Returns (method, body) of one HTTP request."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = conn.recv(65536)
        if not part or len(data) > MAX_REQUEST:
            raise ValueError("incomplete request")
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    length = 0
    for line in lines[1:]:
        key, _, value = line.partition(":")
        if key.strip().lower() == "content-length":
            length = int(value)
    if length > MAX_REQUEST:
        raise ValueError("request of %d bytes" % length)
    while len(body) < length:
        part = conn.recv(65536)
        if not part:
            raise ValueError("incomplete body")
        body += part
    return lines[0].split(" ")[0], body


def answer(conn, status, text):
    body = text.encode()
    head = "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
    conn.sendall((head % (status, len(body))).encode() + body)


def invoke(conn, main, started):
    """Serves one request with main(n, rounds); always answers."""
    try:
        method, body = read_request(conn)
        if method != "POST":
            return answer(conn, "405 Method Not Allowed", "POST only\n")
        try:
            event = json.loads(body)
            n, rounds = int(event["n"]), int(event.get("rounds", 1))
            if n < 0 or rounds < 0:
                raise ValueError("n and rounds must not be negative")
        except (ValueError, KeyError, TypeError, AttributeError) as err:
            return answer(conn, "400 Bad Request", "bad request: %r\n" % err)
        result = main(n, rounds)
        elapsed = time.time() - started
        answer(conn, "200 OK", "%s\n%s %.6f %.6f %d %s %s\n" % (
            result, event.get("id", "0"), started, elapsed, os.getpid(), n, event.get("job", "")))
    except Exception:
        answer(conn, "500 Internal Server Error", traceback.format_exc())


def child(conn, mode, handler, module):
    started = time.time()
    if mode == "exec":
        os.dup2(conn.fileno(), 3, inheritable=True)
        # The interpreter starts anew; the fork's time is what counts as start.
        os.execv(sys.executable, [sys.executable, os.path.abspath(__file__), "once", handler, repr(started)])
    invoke(conn, module.main, started)


def serve(mode, handler, path):
    module = load(handler) if mode == "fork" else None
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    if os.path.exists(path):
        os.unlink(path)
    listener.bind(path)
    os.chmod(path, 0o600)
    listener.listen(1024)
    # The kernel reaps children itself; no handler interrupts accept.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    # PID 1 ignores what it does not handle.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    # What is alive now stays: no child should touch its pages to count it.
    gc.collect()
    gc.freeze()
    print("ready", flush=True)
    while True:
        conn, _ = listener.accept()
        if os.fork() == 0:
            code = 1
            try:
                listener.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                child(conn, mode, handler, module)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                # No clean-up of the parent's state, no exit handlers.
                os._exit(code)
        conn.close()


if __name__ == "__main__":
    if sys.argv[1] == "once":
        invoke(socket.socket(fileno=3), load(sys.argv[2]).main, float(sys.argv[3]))
    else:
        serve(*sys.argv[1:4])
