"""The frames of vdsm's package yajsonrpc, which its server and its clients share."""
import re

ESCAPES = {":": "\\c", "\\": "\\\\", "\r": "\\r", "\n": "\\n"}
CHARACTERS = {v: k for k, v in ESCAPES.items()}


def escape(s):
    return re.sub(r"[:\\\r\n]", lambda m: ESCAPES[m.group()], str(s))


def unescape(s):
    if ":" in s:
        raise ValueError("a raw colon in %r" % s)
    try:
        return re.sub(r"\\(.)", lambda m: CHARACTERS[m.group()], s)
    except KeyError as e:
        raise ValueError("invalid escape sequence %s in %r" % (e, s))


def frame(command, headers, body=None):
    """Builds one: names and values escaped, in CONNECT and CONNECTED, too."""
    if body is not None:
        headers = {**headers, "content-length": len(body)}
    lines = [command] + ["%s:%s" % (escape(k), escape(v)) for k, v in headers.items()]
    return "\n".join(lines).encode() + b"\n\n" + (body or b"") + b"\0"


class Parser:
    """Takes bytes as they come and gives frames. LF or CRLF; the first of repeated
    headers counts; a body ends where content-length says, which must be at a NUL,
    or at the first NUL."""

    def __init__(self):
        self.data = b""

    def parse(self, data):
        self.data += data
        while True:
            self.data = self.data.lstrip(b"\r\n")
            end = re.search(rb"\n\r?\n", self.data)
            if not end:
                return
            lines = [line.removesuffix(b"\r").decode() for line in self.data[:end.start()].split(b"\n")]
            headers = {}
            for line in lines[1:]:
                name, value = line.split(":", 1)
                headers.setdefault(unescape(name), unescape(value))
            rest = self.data[end.end():]
            length = int(headers.get("content-length", -1))
            if length < 0:
                length = rest.find(b"\0")
                if length < 0:
                    return
            if len(rest) < length + 1:
                return
            if rest[length] != 0:
                raise RuntimeError("no NUL at the end of a frame")
            self.data = rest[length + 1:]
            yield unescape(lines[0]), headers, rest[:length]
