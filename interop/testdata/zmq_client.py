"""Makes JSON-RPC calls by a socket of libzmq, for the Go tests beside it.

Reads one JSON object from the first line of stdin:

    endpoint    of a server
    socket      "REQ" or "DEALER"
    method      to call; its params are {"n": N} and its result is 7*N
    first, calls   N goes from first to first+calls-1
    window      calls under way at once, for DEALER
    envelope    frames that a DEALER puts before each body
    heartbeat, timeout   in ms, of ZMQ_HEARTBEAT_IVL and _TIMEOUT; absent for none
    user, password       for PLAIN, or absent
    idle        seconds of silence before the calls
    patience    seconds to wait for an answer

Writes JSON objects to stdout, one a line: each has "event". The last is done
(with answered, lost, doubled, wrong, seconds) or failed (with why); before it
come connection events as libzmq's monitor tells them (with what and value).
"""
import json
import sys
import time

import zmq
from zmq.utils.monitor import recv_monitor_message

MONITORED = {
    zmq.EVENT_HANDSHAKE_SUCCEEDED: "connected",
    zmq.EVENT_DISCONNECTED: "disconnected",
    zmq.EVENT_HANDSHAKE_FAILED_AUTH: "refused",
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL: "confused",
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL: "broken off",
}


def tell(event, **what):
    print(json.dumps({"event": event, **what}), flush=True)


def open_socket(context, o):
    s = context.socket(getattr(zmq, o["socket"]))
    s.linger = 0
    s.sndtimeo = 1000 * o.get("patience", 20)
    if o.get("heartbeat"):
        s.setsockopt(zmq.HEARTBEAT_IVL, o["heartbeat"])
        s.setsockopt(zmq.HEARTBEAT_TIMEOUT, o.get("timeout", o["heartbeat"]))
    if o.get("user") is not None:
        s.plain_username = o["user"].encode()
        s.plain_password = o["password"].encode()
    events = 0
    for e in MONITORED:
        events |= e
    monitor = s.get_monitor_socket(events)
    s.connect(o["endpoint"])
    return s, monitor


def tell_monitored(monitor):
    while monitor.poll(0):
        e = recv_monitor_message(monitor)
        tell("monitor", what=MONITORED[e["event"]], value=e["value"])


class Account:
    """What became of each call."""

    def __init__(self, o):
        self.envelope = [f.encode() for f in o.get("envelope") or []]
        self.method = o["method"]
        self.waiting = set()
        self.answered = set()
        self.doubled = []
        self.wrong = []

    def request(self, n):
        self.waiting.add(n)
        body = '{"jsonrpc":"2.0","id":%d,"method":"%s","params":{"n":%d}}' % (n, self.method, n)
        return self.envelope + [body.encode()]

    def take(self, frames):
        envelope, body = frames[:-1], frames[-1]
        try:
            answer = json.loads(body)
            n = answer["id"]
            right = envelope == self.envelope and answer["result"] == 7 * n
        except (ValueError, KeyError, TypeError):
            n, right = None, False
        if not right:
            self.wrong.append(repr(frames)[:200])
        if n in self.answered:
            self.doubled.append(n)
        self.waiting.discard(n)
        self.answered.add(n)


def run(s, o, account):
    numbers = iter(range(o["first"], o["first"] + o["calls"]))
    window = o.get("window", 1)
    patience = 1000 * o.get("patience", 20)
    sent_all = False
    while True:
        while not sent_all and len(account.waiting) < window:
            n = next(numbers, None)
            if n is None:
                sent_all = True
                break
            try:
                s.send_multipart(account.request(n))
            except zmq.Again:
                return
        if sent_all and not account.waiting:
            return
        if not s.poll(patience):
            return
        account.take(s.recv_multipart())
        while len(account.waiting) > 0 and s.poll(0):
            account.take(s.recv_multipart())


def main():
    o = json.loads(sys.stdin.readline())
    context = zmq.Context()
    s, monitor = open_socket(context, o)
    time.sleep(o.get("idle", 0))
    account = Account(o)
    start = time.monotonic()
    run(s, o, account)
    seconds = time.monotonic() - start
    if s.poll(100):  # nothing may come now
        account.take(s.recv_multipart())
    tell_monitored(monitor)
    tell("done", answered=len(account.answered), lost=sorted(account.waiting)[:20], doubled=account.doubled[:20],
         wrong=account.wrong[:20], seconds=seconds)
    sys.stdin.readline()  # stays until it is let go
    s.disable_monitor()
    context.destroy(linger=0)


try:
    main()
except Exception as e:  # the test prints the traceback, too
    tell("failed", why=repr(e))
    raise
