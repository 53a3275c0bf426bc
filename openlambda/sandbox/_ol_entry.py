# SPDX-License-Identifier: Apache-2.0
"""What a function's code is entered by.

Environment variables choose, as with OpenLambda: OL_ENTRY_FILE is the file
(f.py); OL_WSGI_ENTRY or OL_ASGI_ENTRY the application in it. Without an
application the entry is the first of these that the file has:

main(n, rounds): the ALPS artifact's form.
f(event): OpenLambda's form.
app: an application, WSGI or ASGI by its kind.
"""
import importlib
import importlib.util
import json
import os
import sys
import time

from _ol_http import TEXT


class BadRequest(Exception):
    """The request is none that the function takes."""


def ours(name):
    """Imports a module that lies beside this one, where a function's do not see it."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(here)


class Refused(Exception):
    """The image lacks what the function asks for."""


def check(handler):
    """Raises Refused if the image lacks what the function asks for."""
    install = os.environ.pop("OL_INSTALL", "")
    if install or os.path.exists(os.path.join(handler, "requirements.txt")):
        missing = ours("_ol_check").check(handler, install)
        if missing:
            raise Refused(missing)


def load(handler, checked=False):
    """Imports the code in the directory handler and returns its entry: a function
    of a request that returns run(started, reply), which returns what finishes the
    answer."""
    if not checked:
        check(handler)
    sys.path[:0] = [handler, "/packages"]
    name = os.environ.get("OL_ENTRY_FILE") or "f.py"
    if not name.endswith(".py"):
        raise ValueError("OL_ENTRY_FILE=%s: want a file that ends with .py" % name)
    module_name = name[:-3].replace("/", ".")
    spec = importlib.util.spec_from_file_location(module_name, os.path.join(handler, name))
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    spec.loader.exec_module(module)
    for variable, kind in (("OL_WSGI_ENTRY", "wsgi"), ("OL_ASGI_ENTRY", "asgi")):
        wanted = os.environ.get(variable)
        if wanted:
            if not hasattr(module, wanted):
                raise AttributeError("%s=%s: %s has no such name" % (variable, wanted, name))
            return web(kind, getattr(module, wanted))
    if hasattr(module, "main"):
        return artifact(module.main)
    if hasattr(module, "f"):
        return event(module.f)
    if hasattr(module, "app"):
        return web("", module.app)
    raise AttributeError("%s has neither f(event) nor main(n, rounds) nor app" % name)


def no_constant(name):
    raise ValueError("%s is no JSON" % name)


def parse(body):
    """The event in a body; {} for none, as OpenLambda has it."""
    if not body:
        return {}
    try:
        return json.loads(body, parse_constant=no_constant)
    except (ValueError, RecursionError) as err:
        raise BadRequest(repr(err)) from None


def event(f):
    def entry(request):
        value = parse(request.body)

        def run(started, reply):
            # NaN and infinities are no JSON: they are errors, not answers.
            text = json.dumps(f(value), allow_nan=False)
            return lambda: reply.whole("200 OK", text, "application/json")
        return run
    entry.artifact = False
    return entry


def artifact(main):
    def entry(request):
        value = parse(request.body)
        try:
            n, rounds = int(value["n"]), int(value.get("rounds", 1))
            if n < 0 or rounds < 0:
                raise ValueError("n and rounds must not be negative")
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as err:
            raise BadRequest(repr(err)) from None

        def run(started, reply):
            result = main(n, rounds)
            text = "%s\n%s %.6f %.6f %d %s %s\n" % (
                result, value.get("id", "0"), started, time.time() - started, os.getpid(), n, value.get("job", ""))
            return lambda: reply.whole("200 OK", text, TEXT)
        return run
    entry.artifact = True
    return entry


def web(kind, app):
    _ol_web = ours("_ol_web")
    entry = _ol_web.wsgi(app) if kind == "wsgi" or not kind and not _ol_web.is_asgi(app) else _ol_web.asgi(app)
    entry.artifact = False
    return entry
