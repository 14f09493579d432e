"""Speaks to a host as the Python programs of oVirt do, by vdsm's package yajsonrpc.

Options (see commands.py):

    port        of the server on 127.0.0.1
    tls         {"ca", "cert", "key"}: paths; absent means plain
    heartbeat   ms that the server may be silent; 30000 if absent
    reply       the queue for answers; a fresh UUID if absent
"""
import collections
import json
import select
import socket
import ssl
import threading
import time
import uuid

import commands
from frames import Parser, frame

EVENTS, REQUESTS = "jms.queue.events", "jms.topic.vdsm_requests"


class StompError(RuntimeError):
    pass


class AgentClient:
    def __init__(self, o):
        self.o = o
        self.incoming = o.get("heartbeat", 30000)
        self.reply = o.get("reply") or str(uuid.uuid4())
        self.connected = threading.Event()
        self.subscriptions, self.pending = {}, {}
        self.sock, self.headers, self.problems, self.strange = None, {}, [], []
        self.notes = collections.deque()
        self.open = False

    def connect(self):
        sock = socket.create_connection(("127.0.0.1", self.o["port"]), timeout=15)
        if self.o.get("tls"):
            context = ssl.create_default_context(cafile=self.o["tls"]["ca"])
            context.check_hostname = False
            if self.o["tls"].get("cert"):
                context.load_cert_chain(self.o["tls"]["cert"], self.o["tls"]["key"])
            sock = context.wrap_socket(sock)
        sock.setblocking(False)
        self.last = time.monotonic()
        again = list(self.subscriptions.values())
        self.subscriptions, self.outbox = {}, collections.deque()
        self.wake, woken = socket.socketpair()
        self.sock, self.open = sock, True
        self.write(frame("CONNECT", {"accept-version": "1.2", "heart-beat": "0,%d" % int(self.incoming * 0.8)}))
        for destination, handler in again or [(self.reply, self.answered)]:
            self.subscribe(destination, handler)  # with a new id
        threading.Thread(target=self.reactor, args=[sock, self.outbox, woken], daemon=True).start()

    def write(self, data):
        if not self.open:
            raise StompError("not connected")
        self.outbox.append(data)
        try:
            self.wake.send(b"!")
        except OSError:
            pass  # the connection has just ended

    def subscribe(self, destination, handler):
        id = str(uuid.uuid4())
        self.subscriptions[id] = destination, handler
        self.write(frame("SUBSCRIBE", {"destination": destination, "ack": "auto", "id": id}))
        return id

    def unsubscribe(self, id):
        del self.subscriptions[id]
        self.write(frame("UNSUBSCRIBE", {"id": id}))

    def send(self, destination, body, flow=None):
        """Sends what is for a request queue or for anybody. It waits for CONNECTED."""
        if not self.connected.wait(15):
            raise StompError("Timeout occurred during connecting")
        headers = {"destination": destination, "content-type": "application/json", "reply-to": self.reply}
        if flow:
            headers["ovirtCorrelationId"] = flow
        self.write(frame("SEND", headers, body))

    def reactor(self, sock, outbox, woken):
        """Reads and writes: Python's TLS is for one thread."""
        parser = Parser()
        try:
            while self.sock is sock:
                ready, _, _ = select.select([sock, woken], [], [], 0.05)
                if woken in ready:
                    woken.recv(4096)
                while self.receive(sock, parser):
                    pass
                while outbox:
                    self.flush(sock, outbox.popleft())
                if (time.monotonic() - self.last) * 1000 > self.incoming:
                    raise StompError("heart-beat exceeded")
        except Exception as e:
            if self.sock is sock:  # else it has been closed
                self.problems.append(repr(e))
                self.open = False
        sock.close()
        woken.close()

    def receive(self, sock, parser):
        """Takes what is there, if anything is."""
        try:
            data = sock.recv(65536)
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        if not data:
            raise StompError("EOF")  # and it does not come back
        for f in parser.parse(data):
            self.handle(*f)
        self.last = time.monotonic()
        return True

    @staticmethod
    def flush(sock, data):
        while data:
            try:
                data = data[sock.send(data):]
            except (BlockingIOError, ssl.SSLWantWriteError):
                select.select([], [sock], [], 1)

    def handle(self, command, headers, body):
        if command == "CONNECTED":
            self.headers = headers
            self.connected.set()
        elif command == "MESSAGE":
            _, handler = self.subscriptions.get(headers.get("subscription"), (None, None))
            if handler is None:
                self.strange.append("no subscription %s" % headers.get("subscription"))
            else:
                handler(headers, body)
        elif command == "ERROR":
            raise StompError(body.decode())
        elif command not in ("RECEIPT", "DISCONNECT"):
            raise KeyError(command)

    def answered(self, headers, body):
        """Takes an answer or several; what has a method is an event."""
        try:
            got = json.loads(body)
        except ValueError:
            self.strange.append("not JSON: %r" % body[:60])
            return
        for r in got if isinstance(got, list) else [got]:
            if "method" in r:
                self.notes.append([r["method"], r.get("params")])
                continue
            call = self.pending.pop(r.get("id"), None)
            if call is None:
                self.strange.append("no call for %s" % body[:200].decode())
                continue
            call["answer"], call["body"] = r, body.decode()
            call["done"].set()

    def start(self, method, params, flow=None, destination=REQUESTS):
        id = str(uuid.uuid4())
        call = self.pending[id] = {"done": threading.Event(), "answer": None}
        request = {"jsonrpc": "2.0", "method": method, "params": params or {}, "id": id}
        self.send(destination, json.dumps([request]).encode(), flow)
        return call

    def close(self):
        """Closes the connection, having said UNSUBSCRIBE and not DISCONNECT."""
        for id in list(self.subscriptions):
            self.unsubscribe(id)
        time.sleep(0.1)
        self.sock, self.open = None, False


def run(o):
    c = AgentClient(o)
    subscribed = {}

    def connect():
        c.connect()
        ok = c.connected.wait(5)
        return {"connected": ok, "promised": [c.headers.get("heart-beat", "")]}

    def call(method, params=None, flow=None, destination=REQUESTS, wait=15):
        k = c.start(method, params, flow, destination)
        return {"answer": k["answer"], "body": k["body"]} if k["done"].wait(wait) else {"lost": 1}

    def batch(requests, wait=3):
        """Sends an array that the real client does not send."""
        calls = []
        for r in requests:
            k = c.pending[r.get("id")] = {"done": threading.Event(), "answer": None}
            calls.append(k)
        c.send(REQUESTS, json.dumps(requests).encode())
        end = time.monotonic() + wait
        answered = [k["done"].wait(max(0, end - time.monotonic())) for k in calls]
        return {"found": {"answered": sum(answered), "lost": len(calls) - sum(answered)}, "body": calls[0].get("body")}

    def parallel(method, n, params=None, wait=15, pad=0):
        """Makes n calls at once: with params, or such as are to come back."""
        begin = time.monotonic()
        calls = [(i, c.start(method, params or {"msg": {"n": i, "pad": "x" * pad}})) for i in range(n)]
        end, found = begin + wait, collections.Counter()
        for i, k in calls:
            k["done"].wait(max(0, end - time.monotonic()))
            a = k["answer"]
            if a is None:
                found["lost"] += 1
            elif "error" in a:
                found["error %s" % a["error"]["code"]] += 1
            else:
                found["answered" if params or a["result"].get("n") == i else "wrong"] += 1
        return {"found": found, "seconds": time.monotonic() - begin}

    def subscribe(destination=EVENTS):
        subscribed[destination] = c.subscribe(destination, c.answered)

    def unsubscribe(destination=EVENTS):
        c.unsubscribe(subscribed.pop(destination))

    def notify(event, destination, params=None):
        c.send(destination, json.dumps({"jsonrpc": "2.0", "method": event, "params": params or {}}).encode())

    def events(n, wait=10):
        end = time.monotonic() + wait
        while len(c.notes) < n and time.monotonic() < end:
            time.sleep(0.01)
        notes = [c.notes.popleft() for _ in range(min(n, len(c.notes)))]
        return {"events": [{"id": m, "params": p} for m, p in notes]}

    def reconnect(n):
        all = []
        for _ in range(n):
            c.sock = None  # its reactor closes it
            c.connected.clear()
            all += connect()["promised"]
        return {"promised": all}

    def lost(wait=30):
        begin = time.monotonic()
        while c.open and time.monotonic() - begin < wait:
            time.sleep(0.01)
        return {"noticed": not c.open, "seconds": time.monotonic() - begin}

    def state():
        return {"connected": c.connected.is_set(), "open": c.open, "problems": c.problems, "errors": c.strange,
                "promised": [c.headers.get("heart-beat", "")]}

    def close():
        c.close()

    commands.serve(dict(connect=connect, call=call, batch=batch, parallel=parallel, subscribe=subscribe,
                        unsubscribe=unsubscribe, notify=notify, events=events, reconnect=reconnect, lost=lost,
                        state=state, close=close))


run(commands.options())
