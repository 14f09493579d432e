"""Talks AMQP 1.0 by Qpid Proton, for the Go tests beside it.

Reads one JSON object from the first line of stdin:

    url        "127.0.0.1:7070"
    role       "call": requests, answers and their correlation
               "send": messages to the target, no answers
               "listen": messages from the source, until n have come
    n          how many
    window     calls under way at once
    settled    messages are sent, or asked for, settled
    target     an address; null for the anonymous terminus, with "rpc" in to
    source     where answers or messages are to come; null for a dynamic address
    user, password   for SASL PLAIN; mechanisms: those allowed; without any, ANONYMOUS
    sasl       false to do without
    ca         path of the certificates to trust; with a url amqps://…
    body       of messages: "json", or the number alone as "bytes", "text" or "map"
    capability a symbol for the target or source, such as "topic"
    linger     seconds to stay when all has been said, for what nobody confirms

The method called is Enter, whose params are {"n": N} and whose result is 7*N.
A message sent is {"jsonrpc": "2.0", "method": "Enter", "params": {"n": N}}; one
listened to is N in decimal, or what body says.

Tells {"event": "listening", "address": …} when links are there, and {"event":
"done", …} at the end, or {"event": "refused", "why": …}.
"""
import json
import sys
import time

from proton import Message, SSLDomain
from proton.handlers import MessagingHandler
from proton import symbol
from proton.reactor import AtLeastOnce, AtMostOnce, Container, LinkOption


def tell(event, **what):
    print(json.dumps({"event": event, **what}), flush=True)


class Capability(LinkOption):
    def __init__(self, name):
        self.name = name

    def apply(self, link):
        node = link.target if link.is_sender else link.source
        node.capabilities.put_object(symbol(self.name))


class Program(MessagingHandler):
    def __init__(self, o):
        super().__init__(prefetch=o.get("credit", 200), auto_accept=True)
        self.o = o
        self.n = o["n"]
        self.role = o["role"]
        self.sender = self.receiver = self.address = None
        self.next = 0
        self.came = 0  # how many numbers
        self.times = [0] * self.n  # that each number was answered or came
        self.wrong = []
        self.outcomes = {"accepted": 0, "rejected": 0, "released": 0, "settled": 0}
        self.last = -1
        self.disordered = 0
        self.ended = False
        self.start = time.monotonic()

    def on_start(self, event):
        o = self.o
        how = {"reconnect": False, "sasl_enabled": o.get("sasl", True), "allowed_mechs": o.get("mechanisms", "ANONYMOUS")}
        if "user" in o:
            how.update(user=o["user"], password=o["password"], allowed_mechs=o.get("mechanisms", "PLAIN"))
        if "ca" in o:
            domain = SSLDomain(SSLDomain.MODE_CLIENT)
            domain.set_trusted_ca_db(o["ca"])
            domain.set_peer_authentication(SSLDomain.VERIFY_PEER)
            how["ssl_domain"] = domain
        self.connection = event.container.connect(o["url"], **how)
        mode = [AtMostOnce() if o.get("settled") else AtLeastOnce()]
        if "capability" in o:
            mode.append(Capability(o["capability"]))
        if self.role != "send":
            source = o.get("source")
            self.receiver = event.container.create_receiver(
                self.connection, source, dynamic=source is None, options=mode, name="answers")
        if self.role != "listen":
            self.sender = event.container.create_sender(self.connection, o.get("target"), options=mode, name="requests")

    def on_link_opened(self, event):
        if event.receiver:
            self.address = event.receiver.remote_source.address
            tell("listening", address=self.address)
            self.start = time.monotonic()
        self.fill()

    def on_sendable(self, event):
        self.fill()

    def fill(self):
        if self.sender is None or self.ended or self.role == "call" and self.address is None:
            return
        window = self.o.get("window", 64) if self.role == "call" else self.n
        while self.sender.credit > 0 and self.next < self.n and self.next - self.came < window:
            self.sender.send(self.request(self.next))
            self.next += 1
        if self.role == "send":
            self.look()

    def request(self, n):
        m = Message(content_type="application/json", inferred=True)
        kind = self.o.get("body", "json")
        if kind != "json":
            bodies = {"bytes": str(n).encode(), "text": str(n), "map": {"n": n}}
            return Message(bodies[kind], inferred=kind == "bytes", properties={"n": str(n)}, address=self.o.get("to"))
        if self.o.get("target") is None:
            m.address = "rpc"
        body = {"jsonrpc": "2.0", "method": "Enter", "params": {"n": n}}
        if self.role == "call":
            body["id"] = n
            m.reply_to, m.id = self.address, n
        m.body = json.dumps(body).encode()
        return m

    def on_message(self, event):
        m = event.message
        try:
            kind = self.o.get("body", "json")
            if kind == "text":
                body = m.body + ""  # must be text
            else:
                body = m.body["n"] if kind == "map" else bytes(m.body)
            if self.role == "call":
                answer = json.loads(body)
                n = answer["id"]
                right = answer["result"] == 7 * n and m.correlation_id == n
            else:
                n = int(body)
                right = kind == "json" or m.properties["n"] == str(n)
                self.disordered += n != self.last + 1
                self.last = n
        except (ValueError, KeyError, TypeError):
            n, right = None, False
        if right and 0 <= n < self.n:
            self.times[n] += 1
            self.came += self.times[n] == 1
        else:
            self.wrong.append(repr(m)[:200])
        self.fill()
        self.look()

    def on_accepted(self, event):
        self.outcomes["accepted"] += 1

    def on_rejected(self, event):
        self.outcomes["rejected"] += 1
        self.wrong.append(str(event.delivery.remote.condition))

    def on_released(self, event):
        self.outcomes["released"] += 1

    def on_settled(self, event):
        if event.sender is not None:
            self.outcomes["settled"] += 1
            self.look()

    def look(self):
        """Goes home when all has been said."""
        if self.role == "send":
            over = self.outcomes["settled"] == self.n or self.o.get("settled") and self.next == self.n
        else:
            over = self.came == self.n and (
                self.role == "listen" or self.o.get("settled") or self.outcomes["settled"] == self.n)
        if over and not self.ended:
            self.ended = True
            self.seconds = time.monotonic() - self.start
            self.container.schedule(self.o.get("linger", 0.1), self)  # nothing may come now

    def on_timer_task(self, event):
        self.connection.close()
        tell("done", answered=sum(t > 0 for t in self.times), lost=[i for i, t in enumerate(self.times) if t == 0][:20],
             doubled=[i for i, t in enumerate(self.times) if t > 1][:20], wrong=self.wrong[:20], sent=self.next,
             outcomes=self.outcomes, disordered=self.disordered, seconds=self.seconds)

    def refused(self, what, condition):
        tell("refused", why="%s: %s" % (what, condition))
        self.connection.close()

    def on_transport_error(self, event):
        self.refused("transport", event.transport.condition)

    def on_connection_error(self, event):
        self.refused("connection", event.connection.remote_condition)

    def on_link_error(self, event):
        self.refused("link", event.link.remote_condition)


def main():
    p = Program(json.loads(sys.stdin.readline()))
    p.container = Container(p)
    p.container.run()
    sys.stdin.readline()  # stays until it is let go


try:
    main()
except Exception as e:  # the test prints the traceback, too
    tell("failed", why=repr(e))
    raise
