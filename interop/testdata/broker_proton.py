"""Exchanges messages through a broker by Qpid Proton, and tells what became of
them.

    python3 broker_proton.py amqp://guest:guest@127.0.0.1:5672

The broker's URL is all it is given: it is the same program for each broker, and
asks none of them what it is. Prints a JSON object {"case": …, "finding": …} for
each case. One that is refused ends as the condition of AMQP 1.0.
"""
import json
import os
import sys
import time
import traceback
import uuid

from proton import Data, Endpoint, Message, ProtonException, Timeout
from proton.reactor import LinkOption
from proton.utils import BlockingConnection, SendException

URL = sys.argv[1]
LITTLE = 0.7  # seconds that nothing may come in
LONG = 5      # seconds within which something has to


class Capability(LinkOption):
    """Asks for an address of a kind: a queue or a topic."""

    def __init__(self, kind):
        self.kind = kind

    def apply(self, link):
        end = link.target if link.is_sender else link.source
        end.capabilities.put_array(False, Data.SYMBOL)
        end.capabilities.enter()
        end.capabilities.put_symbol(self.kind)
        end.capabilities.exit()


opened = []  # in this case


class Peer:
    def __init__(self):
        self.c = BlockingConnection(URL, timeout=LONG, allowed_mechs="ANONYMOUS PLAIN", allow_insecure_mechs=True, heartbeat=None)
        opened.append(self.c)

    def sender(self, to, *options):
        return self.c.create_sender(to, options=list(options) or None)

    def receiver(self, source, *options, credit=10, **how):
        return self.c.create_receiver(source, credit=credit, options=list(options) or None, **how)

    def send(self, to, *options, **message):
        """Sends a message, and returns its outcome."""
        try:
            return state(self.sender(to, *options).send(Message(**message)).remote_state)
        except SendException as e:
            return state(e.state)


def state(s):
    return str(s).lower().split(".")[-1]


def get(r, patience=LONG):
    """The next message, or None when nothing came in time."""
    try:
        return r.receive(timeout=patience)
    except Timeout:
        return None


def everything(r):
    got = []
    while (m := get(r, LITTLE if got else LONG)) is not None:
        got.append(m)
    return got


def name():
    return "table." + uuid.uuid4().hex


def count(m):
    return "delivery-count %d, first-acquirer %s" % (m.delivery_count, str(m.first_acquirer).lower())


CASES = {}


def case(title):
    def add(f):
        CASES[title] = f
    return add


@case("100 messages to a receiver that accepts each")
def _():
    q, a, b = name(), Peer(), Peer()
    r, s = b.receiver(q), a.sender(q)
    for i in range(100):
        s.send(Message(body=str(i)))
    got = []
    while len(got) < 100 and (m := get(r)) is not None:
        got.append(int(m.body))
        r.accept()
    return "all, in order" if got == list(range(100)) else "%d came" % len(got)


@case("what nobody receives yet")
def _():
    q, a, b = name(), Peer(), Peer()
    a.send(q, body="x")
    return "kept" if get(b.receiver(q)) else "lost"


@case("two receivers of an address, 20 messages")
def _():
    q, a, b, c = name(), Peer(), Peer(), Peer()
    rs = [b.receiver(q, credit=1), c.receiver(q, credit=1)]
    s = a.sender(q)
    for i in range(20):
        s.send(Message(body=str(i)))
    got, n, end = [], [0, 0], time.monotonic() + LONG
    while len(got) < 20 and time.monotonic() < end:
        for i, r in enumerate(rs):
            if (m := get(r, 0.05)) is not None:
                got.append(int(m.body))
                n[i] += 1
                r.accept()
    return "shared, each once" if sorted(got) == list(range(20)) and min(n) > 0 else "%s came to one, %s to the other" % tuple(n)


@case("properties, application properties and bytes")
def _():
    q, a, b = name(), Peer(), Peer()
    r = b.receiver(q)
    sent = dict(id="1", correlation_id="7", subject="s", reply_to="r", content_type="application/x-test", properties={"x-one": "1"})
    a.send(q, body=b"\x00\xff", inferred=True, **sent)
    m = get(r)
    lost = [k for k, v in sent.items() if getattr(m, k) != v]
    if bytes(m.body) != b"\x00\xff":
        lost.append("body")
    return "kept" if not lost else "lost: " + ", ".join(lost)


@case("a number among the application properties")
def _():
    q, a, b = name(), Peer(), Peer()
    r = b.receiver(q)
    a.send(q, body="x", properties={"n": 2})
    n = get(r).properties["n"]
    return "stays one" if n == 2 else "becomes text" if n == "2" else "becomes " + repr(n)


def topic(address, *options):
    a, b, c = Peer(), Peer(), Peer()
    rs = [b.receiver(address, *options), c.receiver(address, *options)]
    a.send(address, *options, body="x")
    n = sum(get(r, 2) is not None for r in rs)
    return ["none gets it", "one of them gets it", "each gets it"][n]


CASES["address /topic/t, two receivers"] = lambda: topic("/topic/" + name())
CASES["address t with the capability topic, two receivers"] = lambda: topic(name(), Capability("topic"))
CASES["address /exchange/amq.topic/t, two receivers"] = lambda: topic("/exchange/amq.topic/" + name())


def wildcard(w):
    base, a, b = "/topic/" + name(), Peer(), Peer()
    r = b.receiver(base + "." + w)
    for tail in (".1", ".1.2", ""):
        a.send(base + tail, body="t" + tail)
    got = [m.body for m in everything(r)]
    told = [m for m in ("t", "t.1", "t.1.2") if m in got]
    return ", ".join(told) if told else "is no wildcard"


for w in ("*", "#"):
    CASES["address /topic/t.%s, sent to t, t.1 and t.1.2" % w] = lambda w=w: wildcard(w)


@case("address /queue/q")
def _():
    q, a, b = "/queue/" + name(), Peer(), Peer()
    r = b.receiver(q)
    a.send(q, body="x")
    return "a queue" if get(r) else "nothing comes"


@case("address q with the capability queue")
def _():
    q, a, b = name(), Peer(), Peer()
    r = b.receiver(q, Capability("queue"))
    a.send(q, Capability("queue"), body="x")
    return "a queue" if get(r) else "nothing comes"


@case("request and answer by a dynamic address")
def _():
    q, a, b = name(), Peer(), Peer()
    requests = b.receiver(q)
    answers = a.receiver(None, dynamic=True)
    a.send(q, body="question", reply_to=answers.link.remote_source.address, correlation_id="7")
    m = get(requests)
    requests.accept()
    b.send(m.reply_to, body="answer", correlation_id=m.correlation_id)
    m = get(answers)
    return "answered" if m and m.body == "answer" and m.correlation_id == "7" else "no answer"


@case("request and answer by the anonymous terminus")
def _():
    q, replies, a, b = name(), name(), Peer(), Peer()
    requests, answers = b.receiver(q), a.receiver(replies)
    a.send(None, address=q, body="question", reply_to=replies)
    m = get(requests, 3)
    if m is None:
        return "nothing comes"
    b.send(None, address=m.reply_to, body="answer")
    return "answered" if get(answers, 3) else "no answer"


def settled_as(how, again):
    q, a, b = name(), Peer(), Peer()
    r = b.receiver(q)
    a.send(q, body="x")
    if get(r) is None:
        return "nothing came"
    how(r)
    m = get(r, 2)
    return again(m) if m else "is gone"


CASES["released"] = lambda: settled_as(lambda r: r.release(delivered=False), lambda m: "comes again, " + count(m))
CASES["modified"] = lambda: settled_as(lambda r: r.release(delivered=True), lambda m: "comes again, " + count(m))
CASES["rejected"] = lambda: settled_as(lambda r: r.reject(), lambda m: "comes again, " + count(m))


def fail(r):
    """Settles with modified, delivery-failed."""
    r.fetcher.unsettled[0].local.failed = True
    r.release(delivered=True)


CASES["modified, delivery-failed"] = lambda: settled_as(fail, lambda m: "comes again, " + count(m))


@case("modified, delivery-failed, again and again")
def _():
    q, a, b = name(), Peer(), Peer()
    r = b.receiver(q)
    a.send(q, body="x")
    n = 0
    while n < 30 and get(r, LONG if n == 0 else LITTLE) is not None:
        n += 1
        fail(r)
    return "comes again without end" if n == 30 else "delivered %d time%s, then dead-lettered or dropped" % (n, "" if n == 1 else "s")


@case("a receiver that closes before it settles")
def _():
    q, a, b, c = name(), Peer(), Peer(), Peer()
    r = b.receiver(q)
    a.send(q, body="x")
    if get(r) is None:
        return "nothing came"
    b.c.close()
    m = get(c.receiver(q), 3)
    return "given to another, " + count(m) if m else "lost"


@case("a link that detaches before it settles")
def _():
    q, a, b, c = name(), Peer(), Peer(), Peer()
    r = b.receiver(q)
    a.send(q, body="x")
    if get(r) is None:
        return "nothing came"
    r.close()
    m = get(c.receiver(q), 3)
    return "given to another, " + count(m) if m else "lost"


@case("credit of 1")
def _():
    q, a, b = name(), Peer(), Peer()
    r = b.receiver(q, credit=1)
    s = a.sender(q)
    for i in range(10):
        s.send(Message(body=str(i)))
    time.sleep(LITTLE)
    b.c.container.do_work(0.1)
    n = len(r.fetcher.incoming)
    return "heeded" if n <= 1 else "%d at once" % n


@case("ttl, when it has passed")
def _():
    q, a, b = name(), Peer(), Peer()
    a.send(q, body="x", ttl=0.3)
    time.sleep(1.2)
    return "not delivered" if get(b.receiver(q), 1) is None else "delivered all the same"


@case("the outcome of what was sent")
def _():
    return Peer().send(name(), body="x")


@case("the outcome of what was sent to /topic/t, which nobody receives")
def _():
    return Peer().send("/topic/" + name(), body="x")


@case("address /nowhere/x")
def _():
    q, a, b = "/nowhere/" + name(), Peer(), Peer()
    r = b.receiver(q)
    a.send(q, body="x")
    return "a queue of that name" if get(r, 2) else "nothing comes"


def refusal(e):
    """The condition with which a broker has refused."""
    for c in opened:  # one that ends the session is not told by BlockingConnection
        ended = c.conn.session_head(Endpoint.REMOTE_CLOSED)
        if ended is not None and ended.remote_condition is not None:
            return ended.remote_condition.name + ", which ends the session"
    for word in str(e).replace("'", " ").replace(",", " ").replace("(", " ").split():
        if word.startswith("amqp:") and "/" not in word:
            return word.rstrip(":")
    return "no answer of the broker" if isinstance(e, Timeout) else type(e).__name__


def run(title):
    try:
        return CASES[title]()
    except ProtonException as e:
        return refusal(e)
    except Exception:
        traceback.print_exc()
        return "failed: " + traceback.format_exc().splitlines()[-1]


for title in CASES:
    print(json.dumps({"case": title, "finding": run(title)}), flush=True)
    opened.clear()
os._exit(0)  # and all connections with it
