"""Answers calls by Python's xmlrpc.server, for the Go tests beside it.

Reads one JSON object from the first line of stdin:

    protocol    "HTTP/1.0", which closes a connection after each answer, or "HTTP/1.1"
    ledger      a file to which the number of each call is added as it is executed

The method Enter has one param, {"n": N}, and the result 7*N; Echo gives its
params back; Kinds tells of what types they are; Types returns one value of each
type; Fail raises a fault, Explode an exception. Writes {"event": "listening",
"port": N} to stdout, and ends when stdin does.
"""
import datetime
import json
import os
import socketserver
import sys
import threading
import xmlrpc.client
import xmlrpc.server

o = json.loads(sys.stdin.readline())
ledger = os.open(o["ledger"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


class Handler(xmlrpc.server.SimpleXMLRPCRequestHandler):
    protocol_version = o["protocol"]


class Server(socketserver.ThreadingMixIn, xmlrpc.server.SimpleXMLRPCServer):
    daemon_threads = True
    request_queue_size = 128


def enter(params):
    os.write(ledger, b"%d\n" % params["n"])
    return 7 * params["n"]


def types():
    return {
        "int": -42, "double": 6.0, "large": 1e300, "string": " é <&> \n", "bool": True, "nil": None, "bytes": b"\0\xff" * 100,
        "time": datetime.datetime(1998, 7, 17, 14, 8, 55), "array": [1, [], "a"], "struct": {"a": {}},
    }


def fail():
    raise xmlrpc.client.Fault(42, "no <way>")


def explode():
    raise ValueError("bang")


s = Server(("127.0.0.1", 0), requestHandler=Handler, logRequests=False, allow_none=True, use_builtin_types=True)
s.register_function(enter, "Enter")
s.register_function(lambda *a: list(a), "Echo")
s.register_function(lambda *a: [type(v).__name__ for v in a], "Kinds")
s.register_function(types, "Types")
s.register_function(fail, "Fail")
s.register_function(explode, "Explode")
s.register_multicall_functions()
threading.Thread(target=s.serve_forever, daemon=True).start()
print(json.dumps({"event": "listening", "port": s.server_address[1]}), flush=True)
sys.stdin.read()
