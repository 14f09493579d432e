"""Exchanges messages through a broker by stomp.py, and tells what became of them.

    python3 broker_stomp.py stomp://guest:guest@127.0.0.1:61613

The broker's URL is all it is given: it is the same program for each broker, and
asks none of them what it is. Prints a JSON object {"case": …, "finding": …} for
each case. One that cannot be had ends as "ERROR" (the frame) or as "closed".
"""
import concurrent.futures
import json
import os
import queue
import sys
import time
import traceback
import urllib.parse
import uuid

import stomp

URL = urllib.parse.urlsplit(sys.argv[1])
LITTLE = 0.7  # seconds that nothing may come in
LONG = 10     # seconds within which something has to


class Closed(Exception):
    """The broker has sent an ERROR, or closed the connection."""


class Peer(stomp.ConnectionListener):
    """A connection, and what came by it."""

    def __init__(self):
        self.came, self.receipts, self.ended = queue.Queue(), queue.Queue(), queue.Queue()
        self.conn = stomp.Connection12([(URL.hostname, URL.port)], heartbeats=(0, 0), reconnect_attempts_max=1, vhost="/")
        self.conn.set_listener("", self)
        self.conn.connect(URL.username, URL.password, wait=True)

    def on_message(self, frame):
        self.came.put(frame)

    def on_receipt(self, frame):
        self.receipts.put(frame.headers["receipt-id"])

    def on_error(self, frame):
        self.ended.put("ERROR")

    def on_disconnected(self):
        self.ended.put("closed")

    def sync(self, do, **how):
        """Does something, and waits until the broker has done it."""
        receipt = uuid.uuid4().hex
        do(receipt, **how)
        end = time.monotonic() + LONG
        while time.monotonic() < end:
            try:
                if self.receipts.get(timeout=0.02) == receipt:
                    return
            except queue.Empty:
                self.fail_if_ended()
        raise Closed("no receipt")

    def fail_if_ended(self):
        if not self.ended.empty():
            raise Closed(self.ended.get())

    def send(self, to, body, **headers):
        headers = {k.replace("_", "-"): v for k, v in headers.items()}
        self.sync(lambda r: self.conn.send(to, body, headers={"receipt": r, **headers}))

    def subscribe(self, to, ack="auto", id="1", **headers):
        headers = {k.replace("_", "-"): v for k, v in headers.items()}
        self.sync(lambda r: self.conn.subscribe(to, id, ack, headers={"receipt": r, **headers}))

    def get(self, patience=LONG):
        """The next message, or None when nothing came in time."""
        try:
            return self.came.get(timeout=patience)
        except queue.Empty:
            self.fail_if_ended()
            return None

    def all(self, patience=LONG):
        """All messages that come, until nothing comes any more."""
        got = []
        while (m := self.get(patience if not got else LITTLE)) is not None:
            got.append(m)
        return got

    def ack(self, m):
        self.conn.ack(m.headers["ack"])

    def nack(self, m):
        self.conn.nack(m.headers["ack"])

    def kill(self):
        """Goes without a word."""
        self.conn.transport.disconnect_socket()


def name(kind="queue"):
    return "/%s/table.%s" % (kind, uuid.uuid4().hex)


def again(m):
    return "redelivered:" + m.headers.get("redelivered", "is missing")


CASES = {}


def case(title):
    def add(f):
        CASES[title] = f
    return add


@case("100 messages to a consumer that acknowledges each")
def _():
    q, a, b = name(), Peer(), Peer()
    b.subscribe(q, "client-individual")
    for i in range(100):
        a.conn.send(q, str(i))
    got = []
    while len(got) < 100 and (m := b.get()) is not None:
        got.append(int(m.body))
        b.ack(m)
    return "all, in order" if got == list(range(100)) else "%d came" % len(got)


@case("what nobody consumes yet")
def _():
    q, a, b = name(), Peer(), Peer()
    a.send(q, "x")
    b.subscribe(q)
    return "kept" if b.get() else "lost"


@case("two consumers of a queue, 20 messages")
def _():
    q, a, b, c = name(), Peer(), Peer(), Peer()
    for p in (b, c):
        p.subscribe(q, "client-individual", prefetch_count=1, activemq_prefetchSize=1)
    for i in range(20):
        a.send(q, str(i))
    got, shares = [], []
    deadline = time.monotonic() + LONG
    n = {b: 0, c: 0}
    while len(got) < 20 and time.monotonic() < deadline:
        for p in (b, c):
            if (m := p.get(0.02)) is not None:
                got.append(int(m.body))
                n[p] += 1
                p.ack(m)
    return "shared, each once" if sorted(got) == list(range(20)) and min(n.values()) > 0 else str(sorted(n.values()))


@case("headers, content type and a body with NUL")
def _():
    q, a, b = name(), Peer(), Peer()
    b.subscribe(q)
    sent = {"x-one": "1: \\ \n2", "content-type": "application/x-test", "correlation-id": "7"}
    a.send(q, "a\0é\n", **sent)
    m = b.get()
    lost = [k for k, v in sent.items() if m.headers.get(k) != v]
    if m.body != "a\0é\n":
        lost.append("body")
    return "kept" if not lost else "lost: " + ", ".join(lost)


@case("a topic with two subscribers")
def _():
    t, a, b, c = name("topic"), Peer(), Peer(), Peer()
    b.subscribe(t)
    c.subscribe(t)
    a.send(t, "x")
    return "each gets it" if b.get() and c.get() else "not both get it"


@case("a topic that nobody subscribes to")
def _():
    t, a, b = name("topic"), Peer(), Peer()
    a.send(t, "x")
    b.subscribe(t)
    return "kept" if b.get(LITTLE) else "dropped, with a RECEIPT"


def wildcard(w):
    base, a, b = name("topic"), Peer(), Peer()
    b.subscribe(base + "." + w)
    for tail in (".1", ".1.2", ""):
        a.send(base + tail, "t" + tail)
    got = [m.body for m in b.all(2)]
    told = [m for m in ("t", "t.1", "t.1.2") if m in got]
    return ", ".join(told) if told else "is no wildcard"


for w in ("*", "#", ">"):
    CASES["subscription t.%s to t, t.1 and t.1.2" % w] = lambda w=w: wildcard(w)


def ask(server, client, q, reply):
    server.subscribe(q)
    client.send(q, "question", reply_to=reply, correlation_id="7")
    m = server.get()
    if m is None:
        return "the request is lost"
    to = m.headers["reply-to"]
    server.send(to, "answer", correlation_id=m.headers["correlation-id"])
    m = client.get(2)
    if m is None:
        return "no answer"
    if m.body != "answer" or m.headers.get("correlation-id") != "7":
        return "another answer"
    seen = "/".join(to.split("/")[:2])
    return "answered; the server sees " + (to if to.startswith("/queue/") and len(to) < 20 else seen + "/…")


@case("request and answer by /temp-queue, subscribed to")
def _():
    q, a, b = name(), Peer(), Peer()
    a.subscribe("/temp-queue/answers", id="answers")
    return ask(b, a, q, "/temp-queue/answers")


@case("request and answer by /temp-queue, without SUBSCRIBE")
def _():
    return ask(Peer(), Peer(), name(), "/temp-queue/answers")


@case("request and answer by a queue")
def _():
    q, a, b, replies = name(), Peer(), Peer(), name()
    a.subscribe(replies)
    return ask(b, a, q, replies).replace("/queue/…", "its name")


@case("unknown destination /nowhere/x")
def _():
    q, a, b = name("nowhere"), Peer(), Peer()
    b.subscribe(q)
    a.send(q, "x")
    return "a queue of that name" if b.get() else "nothing comes"


@case("destination without a slash")
def _():
    q, a, b = "table." + uuid.uuid4().hex, Peer(), Peer()
    b.subscribe(q)
    a.send(q, "x")
    return "a queue of that name" if b.get() else "nothing comes"


@case("a consumer that dies before ACK")
def _():
    q, a, b, c = name(), Peer(), Peer(), Peer()
    b.subscribe(q, "client-individual")
    a.send(q, "x")
    if b.get() is None:
        return "nothing came"
    b.kill()
    c.subscribe(q, "client-individual")
    m = c.get()
    return "given to another, " + again(m) if m else "lost"


@case("UNSUBSCRIBE before ACK")
def _():
    q, a, b, c = name(), Peer(), Peer(), Peer()
    b.subscribe(q, "client-individual")
    a.send(q, "x")
    if b.get() is None:
        return "nothing came"
    b.sync(lambda r: b.conn.send_frame("UNSUBSCRIBE", {"id": "1", "receipt": r}))
    c.subscribe(q, "client-individual")
    m = c.get(3)
    return "given to another, " + again(m) if m else "held until the connection ends"


@case("NACK, again and again")
def _():
    q, a, b = name(), Peer(), Peer()
    b.subscribe(q, "client-individual")
    a.send(q, "x")
    n, last = 0, None
    while n < 20 and (m := b.get(LONG if n == 0 else LITTLE)) is not None:
        n, last = n + 1, m
        b.nack(m)
    if n == 20:
        return "comes again without end, " + again(last)
    return "delivered %d time%s, then dead-lettered or dropped" % (n, "" if n == 1 else "s")


@case("ack:client, ACK of the third of four")
def _():
    q, a, b, c = name(), Peer(), Peer(), Peer()
    b.subscribe(q, "client")
    for i in range(4):
        a.send(q, str(i))
    got = [b.get() for _ in range(4)]
    b.sync(lambda r: b.conn.send_frame("ACK", {"id": got[2].headers["ack"], "receipt": r}))
    b.kill()
    c.subscribe(q, "auto")
    left = sorted(m.body for m in c.all())
    return "the first three are acknowledged" if left == ["3"] else "left: " + " ".join(left)


@case("ack:auto, a consumer that dies")
def _():
    q, a, b, c = name(), Peer(), Peer(), Peer()
    b.subscribe(q, "auto")
    a.send(q, "x")
    b.get()
    b.kill()
    c.subscribe(q, "auto")
    return "comes again" if c.get(1.5) else "was done with when sent"


def outstanding(**header):
    q, a, b = name(), Peer(), Peer()
    b.sync(lambda r: b.conn.subscribe(q, "1", "client-individual", headers={"receipt": r, **header}))
    for i in range(10):
        a.send(q, str(i))
    n = len(b.all())
    return "heeded" if n == 1 else "%d of 10 at once" % n


CASES["prefetch-count:1"] = lambda: outstanding(**{"prefetch-count": "1"})
CASES["activemq.prefetchSize:1"] = lambda: outstanding(**{"activemq.prefetchSize": "1"})


def late(header, value):
    q, a, b = name(), Peer(), Peer()
    a.sync(lambda r: a.conn.send(q, "x", headers={"receipt": r, header: value()}))
    time.sleep(1.2)
    b.subscribe(q)
    return "not delivered" if b.get(1) is None else "delivered all the same"


CASES["expires: (a moment, in ms), when it has passed"] = lambda: late("expires", lambda: str(int(time.time() * 1000) + 300))
CASES["expiration: (ms), when they have passed"] = lambda: late("expiration", lambda: "300")


@case("SEND in a transaction, before COMMIT and after")
def _():
    q, a, b = name(), Peer(), Peer()
    b.subscribe(q)
    tx = uuid.uuid4().hex
    a.sync(lambda r: a.conn.begin(tx, headers={"receipt": r}))
    a.conn.send(q, "x", headers={"transaction": tx})
    early = b.get(LITTLE)
    a.sync(lambda r: a.conn.send_frame("COMMIT", {"transaction": tx, "receipt": r}))
    return ("comes early" if early else "comes with COMMIT") if early or b.get() else "is lost"


@case("SEND in a transaction, ABORT")
def _():
    q, a, b = name(), Peer(), Peer()
    b.subscribe(q)
    tx = uuid.uuid4().hex
    a.sync(lambda r: a.conn.begin(tx, headers={"receipt": r}))
    a.conn.send(q, "x", headers={"transaction": tx})
    a.sync(lambda r: a.conn.send_frame("ABORT", {"transaction": tx, "receipt": r}))
    return "comes all the same" if b.get(LITTLE) else "never sent"


@case("a second SUBSCRIBE with the same id")
def _():
    q, b = name(), Peer()
    b.subscribe(q)
    b.subscribe(name())
    return "taken"


def run(title):
    try:
        finding = CASES[title]()
    except Closed as e:
        finding = str(e)
    except stomp.exception.StompException as e:
        finding = "closed"
    except Exception:
        traceback.print_exc()
        finding = "failed: " + traceback.format_exc().splitlines()[-1]
    return title, finding


with concurrent.futures.ThreadPoolExecutor(6) as pool:
    for title, finding in pool.map(run, CASES):
        print(json.dumps({"case": title, "finding": finding}), flush=True)
os._exit(0)  # stomp.py's threads of connections that are left open
