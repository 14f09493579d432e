"""Answers JSON-RPC by a socket of libzmq, for the Go tests beside it.

Reads one JSON object from the first line of stdin:

    socket      "REP" or "ROUTER"
    bind        an endpoint; one whose port is * gets any
    connect     an endpoint to connect to instead, as a worker behind a device
    heartbeat   in ms, or absent
    ledger      a file to which the number of each call is added as it is executed
    shuffle     a ROUTER answers what is there in any order
    users       names and passwords, to let in by PLAIN alone

The method Enter has the params {"n": N} and the result 7*N; Echo gives its
params back. Writes {"event": "listening", "port": N} to stdout, and ends when
stdin does.
"""
import json
import os
import random
import sys

import zmq
from zmq.auth.thread import ThreadAuthenticator


def tell(event, **what):
    print(json.dumps({"event": event, **what}), flush=True)


class Service:
    def __init__(self, path):
        self.ledger = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT) if path else None

    def answer_one(self, request):
        """Returns the response, or None to a notification."""
        params = request.get("params")
        response = {"jsonrpc": "2.0", "id": request.get("id")}
        if request["method"] == "Enter":
            if self.ledger is not None:
                os.write(self.ledger, b"%d\n" % params["n"])
            response["result"] = 7 * params["n"]
        elif request["method"] == "Echo":
            response["result"] = params
        else:
            response["error"] = {"code": -32601, "message": "no method " + request["method"]}
        return response if "id" in request else None

    def answer(self, body):
        """Returns the bytes to send back; none if there is nothing to say."""
        got = json.loads(body)
        if isinstance(got, list):
            all = [r for r in map(self.answer_one, got) if r is not None]
            return json.dumps(all).encode() if all else b""
        response = self.answer_one(got)
        return b"" if response is None else json.dumps(response).encode()


def serve_rep(s, service):
    s.send(service.answer(s.recv()))


def serve_router(s, service, shuffle):
    pending = [s.recv_multipart()]
    while shuffle and len(pending) < 16 and s.poll(0):
        pending.append(s.recv_multipart())
    if shuffle:
        random.shuffle(pending)
    for identity, empty, body in pending:
        if empty != b"":
            raise ValueError("no empty frame after the identity but %r" % empty)
        answer = service.answer(body)
        if answer:
            s.send_multipart([identity, b"", answer])


def main():
    o = json.loads(sys.stdin.readline())
    context = zmq.Context()
    authenticator = None
    s = context.socket(getattr(zmq, o["socket"]))
    s.linger = 0
    if o.get("users"):
        authenticator = ThreadAuthenticator(context)
        authenticator.start()
        authenticator.configure_plain(domain="*", passwords=o["users"])
        s.plain_server = True
    if o.get("heartbeat"):
        s.setsockopt(zmq.HEARTBEAT_IVL, o["heartbeat"])
        s.setsockopt(zmq.HEARTBEAT_TIMEOUT, 10 * o["heartbeat"])
    port = 0
    if o.get("connect"):
        s.connect(o["connect"])
    else:
        s.bind(o["bind"])
        port = int(s.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0").decode().rsplit(":", 1)[1])
    service = Service(o.get("ledger"))
    poller = zmq.Poller()
    poller.register(s, zmq.POLLIN)
    poller.register(sys.stdin, zmq.POLLIN)
    tell("listening", port=port)
    while True:
        ready = dict(poller.poll())
        if sys.stdin.fileno() in ready:
            break
        if o["socket"] == "REP":
            serve_rep(s, service)
        else:
            serve_router(s, service, o.get("shuffle"))
    if authenticator:
        authenticator.stop()
    context.destroy(linger=0)


try:
    main()
except Exception as e:  # the test prints the traceback, too
    tell("failed", why=repr(e))
    raise
