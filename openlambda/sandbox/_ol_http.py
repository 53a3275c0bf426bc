# SPDX-License-Identifier: Apache-2.0
"""One HTTP request and its answer, on a channel.

A channel has recv(n), sendall(data) and close(): a connection, or one that a
keeper holds.
"""
import traceback

MAX_REQUEST = 8 << 20
TEXT = "text/plain; charset=utf-8"


class Request:
    """One request: method, target (path and query as sent), body."""

    __slots__ = ("method", "target", "body", "lines")

    def __init__(self, method, target, body, lines):
        self.method, self.target, self.body, self.lines = method, target, body, lines

    def headers(self):
        """Pairs of name and value, in the order in which they came."""
        out = []
        for line in self.lines:
            name, _, value = line.partition(":")
            out.append((name.strip(), value.strip()))
        return out

    def parts(self):
        """(function's name, path below it with its slash, query), still quoted."""
        path, _, query = self.target.partition("?")
        parts = path.split("/", 3)  # "", "run", NAME, the rest
        name = parts[2] if len(parts) > 2 else ""
        return name, "/" + (parts[3] if len(parts) > 3 else ""), query


def read_request(channel):
    """Returns one request. ValueError: it is none."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = channel.recv(65536)
        if not part or len(data) > 1 << 20:
            raise ValueError("incomplete request")
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    length = 0
    for line in lines:
        if line[:15].lower() == "content-length:":
            length = int(line[15:])
            break
    if not 0 <= length <= MAX_REQUEST:
        raise ValueError("request of %d bytes" % length)
    parts = [body]
    missing = length - len(body)
    while missing > 0:
        part = channel.recv(65536)
        if not part:
            raise ValueError("incomplete body")
        parts.append(part)
        missing -= len(part)
    first = lines[0].split(" ")
    return Request(first[0], first[1] if len(first) > 1 else "/", b"".join(parts), lines[1:])


def encode(text):
    """UTF-8 of whatever a str may hold; what is no character is escaped."""
    return text.encode("utf-8", "backslashreplace")


def answer(channel, status, text, kind=TEXT):
    """Sends a whole answer; text is str or bytes."""
    body = encode(text) if isinstance(text, str) else text
    head = "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
    channel.sendall((head % (status, kind, len(body))).encode() + body)


class BrokenAnswer(Exception):
    """The answer had begun and cannot be finished: the connection must break."""


class Reply:
    """The answer to one request, whole or in parts.

    before is called once, ahead of the first byte.
    """

    HOP = {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade"}

    def __init__(self, channel, method, before=lambda: None):
        self.channel, self.method, self.before = channel, method, before
        self.begun = False
        self.left = None  # bytes that Content-Length still promises; None: chunked
        self.silent = False  # no body goes out

    def whole(self, status, text, kind=TEXT):
        self.begun = True
        self.before()
        answer(self.channel, status, text, kind)

    def begin(self, status, headers):
        """Sends the head. status is "200 OK", headers pairs of str."""
        code = status.split(" ")[0]
        if len(code) != 3 or not code.isdigit() or not 200 <= int(code) <= 599:
            raise ValueError("status %r: want three digits from 200 to 599" % status)
        lines = ["HTTP/1.1 " + status]
        for name, value in headers:
            if not name or any(c in name + value for c in "\r\n\0") or ":" in name or " " in name:
                raise ValueError("header %r: %r cannot be sent" % (name, value))
            low = name.lower()
            if low in self.HOP:
                continue
            if low == "content-length":
                self.left = int(value)
            lines.append(name + ": " + value)
        self.silent = self.method == "HEAD" or code in ("204", "304")
        if self.left is None and not self.silent:
            lines.append("Transfer-Encoding: chunked")
        lines.append("Connection: close\r\n\r\n")
        head = "\r\n".join(lines).encode("latin-1")
        self.begun = True
        self.before()
        self.channel.sendall(head)

    def part(self, data):
        if self.silent or not data:
            return
        if self.left is None:
            self.channel.sendall(b"%x\r\n%b\r\n" % (len(data), data))
            return
        if len(data) > self.left:
            raise BrokenAnswer("the body is longer than its Content-Length")
        self.left -= len(data)
        self.channel.sendall(data)

    def end(self):
        if self.silent:
            return
        if self.left is None:
            self.channel.sendall(b"0\r\n\r\n")
        elif self.left:
            raise BrokenAnswer("the body is shorter than its Content-Length")

    def fail(self):
        """Answers with the exception that is being handled, if nothing was sent."""
        try:
            text = traceback.format_exc()
        except BaseException:
            text = "an exception that cannot be shown\n"
        if self.begun:
            print(text, flush=True)
            return
        try:
            self.whole("500 Internal Server Error", text)
        except OSError:
            pass  # nobody listens any more
