# SPDX-License-Identifier: Apache-2.0
"""The function server: see server.py."""
import fcntl
import gc
import os
import signal
import socket
import sys
import time
import traceback

import _ol_entry
import _ol_keep
from _ol_http import Reply, answer, read_request

# What lies beside this file is no module of the function's.
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [p for p in sys.path if os.path.abspath(p) != HERE]

POLICIES = {"fifo": os.SCHED_FIFO, "rr": os.SCHED_RR}
ACCEPT_PRIORITY, RUN_PRIORITY = 2, 1


def go_last(policy):
    """Puts the calling thread behind all invocations under a real-time policy.

    Lowering the priority alone would put it before them.
    """
    os.sched_setscheduler(0, policy, os.sched_param(RUN_PRIORITY))
    os.sched_yield()


def flush():
    """Hands on what the handler printed; a process may end here."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:
            pass  # it was closed, or replaced by something of the handler's


class Nothing:
    """Surrounds a handler's run where nothing needs to."""

    def begin(self):
        pass

    def end(self):
        pass


class UntilGone:
    """While the handler runs, the client's end ends this process.

    The kernel does it: SIGIO, whose default action is to terminate, when the
    other side closes. It costs nothing meanwhile. It ends before the first byte
    of the answer, for room in the socket's buffer is such a signal, too.
    """

    def __init__(self, channel):
        self.channel, self.flags = channel, None

    def begin(self):
        self.flags = self.channel.fcntl(fcntl.F_GETFL)
        self.channel.fcntl(fcntl.F_SETOWN, os.getpid())
        self.channel.fcntl(fcntl.F_SETFL, self.flags | os.O_ASYNC)
        try:
            if self.channel.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b"":
                os._exit(0)  # it went before
        except BlockingIOError:
            pass

    def end(self):
        if self.flags is not None:
            self.channel.fcntl(fcntl.F_SETFL, self.flags)
            self.flags = None


class InPolicy:
    """The handler runs under a real-time policy, this thread does not."""

    def __init__(self, sched):
        self.sched, self.old = sched, None

    def begin(self):
        self.old = os.sched_getscheduler(0), os.sched_getparam(0)
        go_last(POLICIES[self.sched])

    def end(self):
        if self.old is not None:
            os.sched_setscheduler(0, *self.old)
            self.old = None


def invoke(channel, entry, started, around):
    """Serves one request; it always answers. around surrounds the handler's run,
    until the first byte of the answer or the handler's end. A handler that is not
    main(n, rounds) does not have the connection in its table."""
    reply = None
    try:
        try:
            request = read_request(channel)
            reply = Reply(channel, request.method, around.end)
            run = entry(request)
        except _ol_entry.BadRequest as err:
            return reply.whole("400 Bad Request", "bad POST data: \"%s\": %s\n" % (request.body[:1000].decode("utf-8", "replace"), err))
        except ValueError as err:
            return answer(channel, "400 Bad Request", "bad request: %s\n" % err)
        around.begin()
        if not entry.artifact:
            channel.hide()
        try:
            finish = run(started, reply)
        finally:
            around.end()
        finish()
    except BaseException:  # also where nobody listens any more
        (reply or Reply(channel, "")).fail()
    finally:
        flush()


def in_child(conn, mode, handler, entry):
    started = time.time()
    policy = os.sched_getscheduler(0)  # the parent's
    if policy in POLICIES.values():
        go_last(policy)
    if mode == "exec":
        os.dup2(conn.fileno(), 3, inheritable=True)
        # The interpreter starts anew; the fork's time is what counts as start.
        os.execv(sys.executable, [sys.executable, os.path.join(HERE, "server.py"), "once", handler, repr(started)])
    channel = _ol_keep.Channel(conn)
    invoke(channel, entry, started, UntilGone(channel))


def refuse(channel, err):
    """Answers where limits.procs leaves no process or thread."""
    try:
        channel.recv(65536)  # what is unread would reset the connection
        answer(channel, "503 Service Unavailable", "nothing to run this invocation in: %s (limits.procs)\n" % err)
    except OSError:
        pass  # the client went before it was answered


def once(conn, handler, started):
    """The new interpreter of mode exec."""
    try:
        entry = _ol_entry.load(handler, checked=True)
        if not entry.artifact:
            _ol_keep.prepare()
    except BaseException:
        conn.recv(65536)
        return Reply(_ol_keep.Channel(conn), "").fail()
    channel = _ol_keep.Channel(conn)
    invoke(channel, entry, started, UntilGone(channel))
    if not entry.artifact:
        os._exit(0)  # threads that the handler left end with it


def fork(listener, conn, mode, handler, entry):
    try:
        pid = os.fork()
    except OSError as err:
        return refuse(_ol_keep.Channel(conn), err)
    if pid == 0:
        code = 1
        try:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            in_child(conn, mode, handler, entry)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            # No clean-up of the parent's state, no exit handlers.
            os._exit(code)


class Platform:
    """Uses CPU time in the calling thread, without Python's lock: requests do so side by side."""

    def __init__(self, cpu_us):
        self.ns = cpu_us * 1000
        if not self.ns:
            return
        import _hashlib  # hashlib's own fallback would hold the lock
        self.hash = lambda rounds: _hashlib.pbkdf2_hmac("sha256", b"", b"", rounds)
        begun = time.thread_time_ns()
        self.hash(1000)
        per_us = 1e6 / (time.thread_time_ns() - begun)
        self.most, self.step = max(1, int(0.9 * cpu_us * per_us)), max(1, int(100 * per_us))

    def use_up(self):
        if not self.ns:
            return
        end = time.thread_time_ns() + self.ns
        self.hash(self.most)
        while time.thread_time_ns() < end:
            self.hash(self.step)


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
        with open(pipe, "w", errors="backslashreplace") as f:
            f.write(text[:4000])  # less than a pipe holds
    print(text, flush=True)


def serve_import(listener, entry, sched, threads, platform):
    """Handlers run in this process, in its main thread or in one for each request."""
    keeper = _ol_keep.keeper()
    if keeper.apart:
        os.close(listener.fileno())  # in this table; the keeper accepts in its own
    accept = lambda: listener.accept()[0]
    around = (lambda: InPolicy(sched)) if sched in POLICIES else Nothing

    def one(conn, its):
        channel = _ol_keep.Channel(conn, its)
        try:
            platform.use_up()
            invoke(channel, entry, time.time(), around())
        finally:
            channel.close()
            if its is not keeper:
                its.end()
    if threads == 1:
        while True:
            one(keeper.call(accept), keeper)
    entry.threads = True
    import threading
    while True:
        conn = keeper.call(accept)
        its = None
        try:
            # Made by the keeper, so that it has the keeper's table.
            its = keeper.call(lambda: _ol_keep.Keeper(own=False))
            threading.Thread(target=one, args=(conn, its), daemon=True).start()
        except RuntimeError as err:
            channel = _ol_keep.Channel(conn, keeper)
            refuse(channel, err)
            channel.close()
            if its is not None:
                its.end()


def compile_all():
    """Compiles this program once, for the interpreters that start anew."""
    import py_compile
    for name in os.listdir(HERE):
        if name.startswith("_ol_") and name.endswith(".py"):
            try:
                py_compile.compile(os.path.join(HERE, name))
            except OSError:
                pass  # where nothing can be written each compiles for itself


def serve(mode="auto", sched="normal", threads="1", handler="/handler", host="/host", platform="0"):
    try:
        entry, model = None, Platform(int(platform))
        if mode == "exec":
            _ol_entry.check(handler)
            compile_all()
        else:
            entry = _ol_entry.load(handler)
        if mode == "auto":
            mode = "fork" if entry.artifact else "import"
        if entry is not None and (mode == "import" or not entry.artifact):
            _ol_keep.prepare()
        listener = listen(os.path.join(host, "ol.sock"))
        if sched in POLICIES:
            os.sched_setscheduler(0, POLICIES[sched], os.sched_param(ACCEPT_PRIORITY))
    except BaseException as err:
        if isinstance(err, _ol_entry.Refused):
            tell(host, "refused: %s" % err)
        else:
            tell(host, "error: " + traceback.format_exc()[-3000:])
        raise SystemExit(1)
    # PID 1 ignores what it does not handle.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    flush()  # what the handler printed when it was loaded, once
    # What is alive now stays: no child should touch its pages to count it.
    gc.collect()
    gc.freeze()
    if mode != "import":
        # The kernel reaps children itself; no handler interrupts accept.
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    tell(host, "ready")
    if mode == "import":
        serve_import(listener, entry, sched, int(threads), model)

    def one(conn):
        with conn:
            model.use_up()
            fork(listener, conn, mode, handler, entry)
    if not model.ns:
        while True:
            one(listener.accept()[0])
    import _thread
    while True:
        conn, _ = listener.accept()
        try:
            _thread.start_new_thread(one, (conn,))
        except RuntimeError as err:
            with conn:
                refuse(_ol_keep.Channel(conn), err)


def main():
    if sys.argv[1:2] == ["once"]:
        once(socket.socket(fileno=3), sys.argv[2], float(sys.argv[3]))
    else:
        serve(*sys.argv[1:7])
