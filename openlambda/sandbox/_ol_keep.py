# SPDX-License-Identifier: Apache-2.0
"""A keeper: a thread with a table of file descriptors of its own.

What a handler does to descriptors, closing all of them for instance, happens in
the table of its own thread. The keeper's has the connections and the listener,
so the answer gets out and the server goes on.
"""
import _thread
import fcntl
import os

CLOSE_RANGE, CLOSE_RANGE_UNSHARE = 436, 2


def prepare():
    """Imports what own_table needs, so that a forked child finds it there."""
    global libc
    try:
        import ctypes
        libc = ctypes.CDLL(None)
    except Exception:
        libc = None


libc = None


def own_table():
    """Gives the calling thread its own table, a copy. False: it cannot be had."""
    if libc is None:
        return False
    import ctypes
    last = ctypes.c_long(0xFFFFFFFF)
    return libc.syscall(ctypes.c_long(CLOSE_RANGE), last, last, ctypes.c_long(CLOSE_RANGE_UNSHARE)) == 0


class Keeper:
    """Calls functions on its thread; one caller at a time."""

    def __init__(self, own=True):
        self.pid = os.getpid()
        self.todo, self.done = _thread.allocate_lock(), _thread.allocate_lock()
        self.todo.acquire()
        self.done.acquire()
        self.job = self.result = self.error = None
        _thread.start_new_thread(self.loop, ())
        self.apart = own and self.call(own_table)

    def loop(self):
        while True:
            self.todo.acquire()
            if self.job is None:
                return
            fn, args = self.job
            try:
                self.result = fn(*args)
            except BaseException as err:
                self.error = err
            self.done.release()

    def call(self, fn, *args):
        if self.pid != os.getpid():
            os._exit(0)  # a fork of the handler's returned; its parent answers
        self.job = fn, args
        self.todo.release()
        self.done.acquire()
        result, error = self.result, self.error
        self.job = self.result = self.error = None
        if error is not None:
            raise error
        return result

    def end(self):
        self.job = None
        self.todo.release()


class Direct:
    """A channel: a connection in the table of the process."""

    def __init__(self, conn):
        self.conn = conn
        self.recv, self.sendall, self.close = conn.recv, conn.sendall, conn.close

    def fcntl(self, command, value=0):
        return fcntl.fcntl(self.conn, command, value)


class Kept:
    """A channel: a connection in the keeper's table."""

    def __init__(self, keeper, conn):
        self.keeper, self.conn = keeper, conn

    def recv(self, n, flags=0):
        return self.keeper.call(self.conn.recv, n, flags)

    def sendall(self, data):
        self.keeper.call(self.conn.sendall, data)

    def close(self):
        self.keeper.call(self.conn.close)

    def fcntl(self, command, value=0):
        return self.keeper.call(fcntl.fcntl, self.conn, command, value)


def take(keeper, conn):
    """The channel of a connection that was accepted before there was a keeper: it
    is closed in the calling thread's table."""
    if keeper.apart:
        os.close(conn.fileno())
    return Kept(keeper, conn)
