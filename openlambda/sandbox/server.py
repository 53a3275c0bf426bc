# SPDX-License-Identifier: Apache-2.0
"""The process that keeps a function's container warm.

Usage: server.py [MODE [SCHED [THREADS [HANDLER [HOST [PLATFORM]]]]]]

HANDLER (/handler) holds f.py; HOST (/host) gets the unix socket ol.sock, where
this answers HTTP, and has the fifo server_pipe, which is told "ready" or
"error: ..." once.

A handler has one of two forms. OpenLambda's is f(event): the body is any JSON,
the answer is the result as JSON. The ALPS artifact's is main(n, rounds): the
body is {"n": "30", "id": "20", "job": "fib", "rounds": "1"}, the answer's last
line is "id start elapsed pid n job": start in seconds since the epoch, elapsed
in seconds, pid as seen in the container.

MODE says where the handler runs:
import: in this process; THREADS at once, 1 means in the main thread.
fork: in a child of this process, which has imported the handler already. The
  parent does as little as it can, accept and fork, so the child's CPU time is
  the invocation's and nothing of it hides in the parent.
exec: in a new interpreter, as the artifact has it.
auto (default): fork for main(n, rounds), import for f(event).

In fork and exec mode a client that goes away takes its invocation with it.

SCHED is normal, fifo or rr: the kernel's policy for invocations. With a
real-time one this process runs one priority above them. Below, it would hardly
accept anything while one of them runs. In fork and exec mode invocations follow
this process if somebody else changes its policy later.

PLATFORM is CPU time in microseconds that this process uses up for each request,
before it forks, to stand for a platform that needs more than this one. 0: none.
"""
import fcntl
import gc
import importlib.util
import json
import os
import signal
import socket
import sys
import time
import traceback

MAX_REQUEST = 8 << 20
POLICIES = {"fifo": os.SCHED_FIFO, "rr": os.SCHED_RR}
ACCEPT_PRIORITY, RUN_PRIORITY = 2, 1


def load(handler):
    sys.path[:0] = [handler, "/packages"]
    spec = importlib.util.spec_from_file_location("f", os.path.join(handler, "f.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules["f"] = module
    spec.loader.exec_module(module)
    if not hasattr(module, "f") and not hasattr(module, "main"):
        raise AttributeError("f.py has neither f(event) nor main(n, rounds)")
    return module


def take_turn(policy):
    """Puts the calling thread behind all invocations under a real-time policy.

    Lowering the priority alone would put it before them.
    """
    os.sched_setscheduler(0, policy, os.sched_param(RUN_PRIORITY))
    os.sched_yield()


def read_request(conn):
    """Returns (method, body) of one HTTP request."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = conn.recv(65536)
        if not part or len(data) > 65536:
            raise ValueError("incomplete request")
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    length = 0
    for line in lines[1:]:
        key, _, value = line.partition(":")
        if key.strip().lower() == "content-length":
            length = int(value)
    if not 0 <= length <= MAX_REQUEST:
        raise ValueError("request of %d bytes" % length)
    parts = [body]
    missing = length - len(body)
    while missing > 0:
        part = conn.recv(65536)
        if not part:
            raise ValueError("incomplete body")
        parts.append(part)
        missing -= len(part)
    return lines[0].split(" ")[0], b"".join(parts)


def answer(conn, status, text, kind="text/plain; charset=utf-8"):
    body = text.encode()
    head = "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
    conn.sendall((head % (status, kind, len(body))).encode() + body)


def parse(module, body):
    """Turns a body into a call that returns (content type, answer)."""
    event = json.loads(body)
    if not hasattr(module, "main"):
        return lambda started: ("application/json", json.dumps(module.f(event)))
    n, rounds = int(event["n"]), int(event.get("rounds", 1))
    if n < 0 or rounds < 0:
        raise ValueError("n and rounds must not be negative")

    def run(started):
        result = module.main(n, rounds)
        return "text/plain; charset=utf-8", "%s\n%s %.6f %.6f %d %s %s\n" % (
            result, event.get("id", "0"), started, time.time() - started, os.getpid(), n, event.get("job", ""))
    return run


def invoke(conn, module, started, guard=None):
    """Serves one request; it always answers. guard wraps the handler's run."""
    body = b""
    try:
        try:
            method, body = read_request(conn)
            if method != "POST":
                return answer(conn, "405 Method Not Allowed", "POST only\n")
            run = parse(module, body)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as err:
            return answer(conn, "400 Bad Request", "bad POST data: \"%s\": %r\n" % (body[:1000].decode("utf-8", "replace"), err))
        kind, text = guard(run, started) if guard else run(started)
        answer(conn, "200 OK", text, kind)
    except ConnectionError:
        pass  # nobody listens any more
    except BaseException:
        fail(conn)


def fail(conn):
    """Answers with the exception that is being handled."""
    try:
        answer(conn, "500 Internal Server Error", traceback.format_exc())
    except OSError:
        pass


def until_gone(conn):
    """A guard: while the handler runs, the client's end ends this process.

    The kernel does it: SIGIO, whose default action is to terminate, when the
    other side closes. It costs nothing meanwhile.
    """
    def guard(run, started):
        flags = fcntl.fcntl(conn, fcntl.F_GETFL)
        fcntl.fcntl(conn, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(conn, fcntl.F_SETFL, flags | os.O_ASYNC)
        try:
            if conn.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b"":
                os._exit(0)  # it went before
        except BlockingIOError:
            pass
        try:
            return run(started)
        finally:
            fcntl.fcntl(conn, fcntl.F_SETFL, flags)
    return guard


def in_policy(sched):
    """A guard: the handler runs under a real-time policy, this thread does not."""
    def guard(run, started):
        old, param = os.sched_getscheduler(0), os.sched_getparam(0)
        take_turn(POLICIES[sched])
        try:
            return run(started)
        finally:
            os.sched_setscheduler(0, old, param)
    return guard if sched in POLICIES else None


def in_child(conn, mode, handler, module):
    started = time.time()
    policy = os.sched_getscheduler(0)  # the parent's
    if policy in POLICIES.values():
        take_turn(policy)
    if mode == "exec":
        os.dup2(conn.fileno(), 3, inheritable=True)
        # The interpreter starts anew; the fork's time is what counts as start.
        os.execv(sys.executable, [sys.executable, os.path.abspath(__file__), "once", handler, repr(started)])
    invoke(conn, module, started, until_gone(conn))


def refuse(conn, err):
    """Answers where limits.procs leaves no process or thread."""
    try:
        conn.recv(65536)  # what is unread would reset the connection
        answer(conn, "503 Service Unavailable", "nothing to run this invocation in: %s (limits.procs)\n" % err)
    except OSError:
        pass  # the client went before it was answered


def once(conn, handler, started):
    """The new interpreter of mode exec."""
    try:
        module = load(handler)
    except BaseException:
        conn.recv(65536)
        return fail(conn)
    invoke(conn, module, started, until_gone(conn))


def fork(listener, conn, mode, handler, module):
    try:
        pid = os.fork()
    except OSError as err:
        return refuse(conn, err)
    if pid == 0:
        code = 1
        try:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            in_child(conn, mode, handler, module)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            # No clean-up of the parent's state, no exit handlers.
            os._exit(code)


def use_up(cpu_us):
    """Computes until this thread has used so much CPU time."""
    end = time.thread_time_ns() + cpu_us * 1000
    while time.thread_time_ns() < end:
        pass


def listen(path):
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    if os.path.exists(path):
        os.unlink(path)
    old = os.umask(0o177)
    listener.bind(path)
    os.umask(old)
    listener.listen(1024)
    return listener


def tell(host, text):
    """Says how the start went, if anybody made a pipe to hear it."""
    pipe = os.path.join(host, "server_pipe")
    if os.path.exists(pipe):
        with open(pipe, "w") as f:
            f.write(text[:4000])  # less than a pipe holds
    print(text, flush=True)


def serve_threads(listener, module, sched):
    import threading

    def one(conn):
        with conn:
            invoke(conn, module, time.time(), in_policy(sched))
    while True:
        conn, _ = listener.accept()
        try:
            threading.Thread(target=one, args=(conn,), daemon=True).start()
        except RuntimeError as err:
            with conn:
                refuse(conn, err)


def serve(mode="auto", sched="normal", threads="1", handler="/handler", host="/host", platform="0"):
    try:
        module = load(handler) if mode != "exec" else None
        if mode == "auto":
            mode = "fork" if hasattr(module, "main") else "import"
        listener = listen(os.path.join(host, "ol.sock"))
        if sched in POLICIES:
            os.sched_setscheduler(0, POLICIES[sched], os.sched_param(ACCEPT_PRIORITY))
    except BaseException:
        tell(host, "error: " + traceback.format_exc()[-3000:])
        raise SystemExit(1)
    # PID 1 ignores what it does not handle.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    # What is alive now stays: no child should touch its pages to count it.
    gc.collect()
    gc.freeze()
    if mode != "import":
        # The kernel reaps children itself; no handler interrupts accept.
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    tell(host, "ready")
    if mode == "import" and threads != "1":
        serve_threads(listener, module, sched)
    guard = in_policy(sched)
    while True:
        conn, _ = listener.accept()
        with conn:
            use_up(int(platform))
            if mode == "import":
                invoke(conn, module, time.time(), guard)
            else:
                fork(listener, conn, mode, handler, module)


if __name__ == "__main__":
    if sys.argv[1:2] == ["once"]:
        once(socket.socket(fileno=3), sys.argv[2], float(sys.argv[3]))
    else:
        serve(*sys.argv[1:7])
