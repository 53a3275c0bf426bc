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
    """Makes what own_table needs, so that a forked child finds it there."""
    global unshare
    try:
        import ctypes
        syscall, long = ctypes.CDLL(None).syscall, ctypes.c_long
        # Closes nothing: no descriptor has that number.
        args = long(CLOSE_RANGE), long(0xFFFFFFFF), long(0xFFFFFFFF), long(CLOSE_RANGE_UNSHARE)
        unshare = lambda: syscall(*args)
    except Exception:
        unshare = None


unshare = None


def own_table():
    """Gives the calling thread its own table, a copy. False: it cannot be had."""
    return unshare is not None and unshare() == 0


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


class Nobody:
    """Stands for a keeper where limits.procs leaves no thread: calls in the caller's thread."""

    apart = False

    def call(self, fn, *args):
        return fn(*args)

    def end(self):
        pass


def keeper():
    try:
        return Keeper()
    except RuntimeError:
        return Nobody()


class Channel:
    """A connection, in this thread's table or in a keeper's."""

    def __init__(self, conn, keeper=None):
        self.conn, self.keeper = conn, keeper

    def hide(self):
        """Gives the connection to a keeper of its own, where there is none."""
        if self.keeper is None:
            self.keeper = keeper()
            if self.keeper.apart:
                os.close(self.conn.fileno())  # in the calling thread's table

    def call(self, fn, *args):
        return fn(*args) if self.keeper is None else self.keeper.call(fn, *args)

    def recv(self, n, flags=0):
        return self.call(self.conn.recv, n, flags)

    def sendall(self, data):
        self.call(self.conn.sendall, data)

    def close(self):
        self.call(self.conn.close)

    def fcntl(self, command, value=0):
        return self.call(fcntl.fcntl, self.conn, command, value)
