# SPDX-License-Identifier: Apache-2.0
"""The process that keeps a function's container warm.

Usage: server.py [MODE [SCHED [THREADS [HANDLER [HOST [PLATFORM]]]]]]

HANDLER (/handler) holds f.py, or the file that OL_ENTRY_FILE names; HOST (/host)
gets the unix socket ol.sock, where this answers HTTP, and has the fifo server_pipe,
which is told once: "ready", "refused: ..." if the image lacks a package that the
function asks for, or "error: ..." with a traceback.

A handler has one of four forms (_ol_entry.py). OpenLambda's is f(event): the body
is any JSON, or nothing, which is {}; the answer is the result as JSON. An app is
WSGI's or ASGI's and has the whole request and the whole answer. The ALPS
artifact's is main(n, rounds): the body is {"n": "30", "id": "20", "job": "fib",
"rounds": "1"}, the answer's last line is "id start elapsed pid n job": start in
seconds since the epoch, elapsed in seconds, pid as seen in the container.

MODE says where the handler runs:
import: in this process; THREADS at once, 1 means in the main thread.
fork: in a child of this process, which has imported the handler already. The
  parent does as little as it can, accept and fork, so the child's CPU time is
  the invocation's and nothing of it hides in the parent.
exec: in a new interpreter, as the artifact has it.
auto (default): fork for main(n, rounds), import for the others.

In fork and exec mode a client that goes away takes its invocation with it.

Connections lie in a table of descriptors of their own (_ol_keep.py), where a
handler's thread does not reach them; but not for main(n, rounds), whose processes
do no more than they are measured for.

SCHED is normal, fifo or rr: the kernel's policy for invocations. With a
real-time one this process runs one priority above them. Below, it would hardly
accept anything while one of them runs. In fork and exec mode invocations follow
this process if somebody else changes its policy later.

PLATFORM is CPU time in microseconds that this process uses up for each request,
before it forks, to stand for a platform that needs more than this one. 0: none.
A thread for each request does so and then forks, so that no request waits for
another's: the platform that is meant starts an interpreter for each.
"""
import os
import sys

# The function's modules come from elsewhere (_ol_entry.py); this program's are found here.
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import _ol_server

_ol_server.main()
