"""Serves JSON-RPC as oVirt's host agent, vdsm, does, with what is wrong about it:
this is what a client has to get along with. Its methods are Host.ping, which
returns nothing, Host.getCapabilities, Host.getStats, Test.echo {"msg": m},
Test.sleep {"ms": n} and Test.fail {"code": c, "message": m}.

Options (see commands.py):

    tls         {"ca", "cert", "key"}: paths; a client has to show a certificate
    recovering  every request is answered with code 99
    detect      seconds for the bytes that tell the protocol; 10 if absent
    nudge       an EOL for each frame after a burst, which the real one does not send
    split       headers and body of a MESSAGE leave in two writes, which they do not
    glue        an EOL leaves together with CONNECTED, which may happen

The first answer, to no command, has the port.
"""
import collections
import json
import queue
import selectors
import socket
import ssl
import struct
import sys
import threading
import time

import commands
from frames import Parser, frame

COMMANDS = (b"CONNECT", b"CONNECTED", b"SEND", b"SUBSCRIBE", b"UNSUBSCRIBE", b"MESSAGE", b"ERROR", b"RECEIPT", b"DISCONNECT")
REQUIRED = max(map(len, COMMANDS))
REQUESTS = ("jms.topic.vdsm_requests", "jms.topic.vdsm_irs_requests")
RESPONSES, EVENTS = "jms.topic.vdsm_responses", "jms.queue.events"
WORKERS, TASKS = 8, 80


def reset(sock):
    """Closes a connection as the kernel does where bytes are left unread."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if isinstance(sock, ssl.SSLSocket):
        socket.socket.close(sock)
    sock.close()


class Unknown(Exception):
    """A command that the dispatcher does not know, or a header that it misses."""


def beats(text):
    """Reads heart-beat; what is no number counts as 0."""
    x, comma, y = text.partition(",")
    out = []
    for n in (x, y) if comma else ("0", "0"):
        try:
            out.append(int(n))
        except ValueError:
            out.append(0)
    return [max(n, 1000) if n else 0 for n in out]


class Connection:
    """A client's. There is no such state as connected."""

    def __init__(self, server, sock, prefix):
        self.server, self.sock = server, sock
        self.parser, self.outbox = Parser(), collections.deque()
        self.subs = {}  # destination by id
        self.give = self.want = 0  # ms
        self.last_out = self.last_in = time.monotonic()
        self.unnudged, self.next_nudge = 0, 0
        self.prefix = prefix
        self.closed = False

    def read(self):
        data = self.prefix
        self.prefix = b""
        if not data:
            try:
                data = self.sock.recv(65536)
            except (ssl.SSLWantReadError, BlockingIOError):
                return
            if not data:
                raise ConnectionError("end")
        self.last_in = time.monotonic()
        for f in self.parser.parse(data):
            self.server.frames.append(f)
            self.handle(*f)

    def pending(self):
        return isinstance(self.sock, ssl.SSLSocket) and self.sock.pending() > 0

    def queue(self, data):
        self.outbox.append(data)
        self.server.wake()

    def write(self):
        while self.outbox:
            data = self.outbox.popleft()
            parts = [data]
            if self.server.o.get("split") and data.startswith(b"MESSAGE"):
                end = data.index(b"\n\n") + 2
                parts = [data[:end], data[end:]]
            for i, part in enumerate(parts):
                if i:
                    time.sleep(0.02)
                while part:
                    try:
                        part = part[self.sock.send(part):]
                    except (ssl.SSLWantWriteError, BlockingIOError):
                        selectors_wait(self.sock)
            if data.startswith(b"MESSAGE"):
                self.unnudged += 1
            self.last_out = time.monotonic()

    def nudge(self, now):
        if self.server.o.get("nudge") and self.unnudged and not self.outbox and now >= self.next_nudge:
            self.sock.send(b"\n")
            self.unnudged -= 1
            self.next_nudge = now + 0.003

    def beat(self, now):
        if self.give and now - self.last_out >= self.give / 1000:
            self.queue(b"\n")

    def handle(self, command, headers, body):
        handler = {"CONNECT": self.connect, "SUBSCRIBE": self.subscribe, "UNSUBSCRIBE": self.unsubscribe,
                   "SEND": self.send, "DISCONNECT": self.disconnect}.get(command)
        if handler is None:
            raise Unknown(command)
        handler(headers, body)

    def error(self, text):
        self.queue(frame("ERROR", {}, text.encode()))

    def connect(self, headers, _):
        if headers.get("accept-version") != "1.2":
            self.error("Version unsupported")
            return
        self.want, self.give = beats(headers.get("heart-beat", "0,0"))
        answer = frame("CONNECTED", {"version": "1.2", "heart-beat": "%d,%d" % (self.give, self.want)})
        self.queue(answer + b"\n" if self.server.o.get("glue") else answer)

    def subscribe(self, headers, _):
        destination, id = headers.get("destination"), headers.get("id")
        if not destination or not id:
            self.error("Missing destination or subscription id header")
        elif id in self.subs:
            self.error("Subscription id already exists")
        else:
            self.subs[id] = destination

    def unsubscribe(self, headers, _):
        if not headers.get("id"):
            self.error("Missing id header")
        else:
            self.subs.pop(headers["id"], None)

    def disconnect(self, headers, _):
        if "receipt" not in headers:
            raise Unknown("DISCONNECT")
        if headers["receipt"]:
            self.queue(frame("RECEIPT", {"receipt-id": headers["receipt"]}))

    def send(self, headers, body):
        destination = headers["destination"]  # without, the connection is lost
        listeners = self.server.listeners(destination)
        for connection, id in listeners:
            connection.queue(frame("MESSAGE", {"subscription": id, **headers}, body))
        if any(destination == q or destination.startswith(q + ".") for q in REQUESTS):
            self.server.request(headers.get("reply-to"), headers.get("ovirtCorrelationId"), body)
        elif not listeners:
            self.error("Subscription not available")


def selectors_wait(sock):
    with selectors.DefaultSelector() as s:
        s.register(sock, selectors.EVENT_WRITE)
        s.select(5)


class Server:
    def __init__(self, o):
        self.o = o
        self.frames = collections.deque(maxlen=5000)
        self.flows = []
        self.connections = {}
        self.reply_to = {}  # by id, whoever asked
        self.requests = queue.Queue()
        self.tasks = queue.Queue(TASKS)
        self.selector = selectors.DefaultSelector()
        self.waker, self.woken = socket.socketpair()
        self.woken.setblocking(False)
        self.selector.register(self.woken, selectors.EVENT_READ)
        self.joining = queue.Queue()
        self.frozen_until = 0
        self.listener = socket.create_server(("127.0.0.1", o.get("port", 0)), backlog=5)
        self.dispatcher = threading.Thread(target=self.dispatch, daemon=True)
        self.dispatcher.start()
        for _ in range(WORKERS):
            threading.Thread(target=self.work, daemon=True).start()
        threading.Thread(target=self.loop, daemon=True).start()
        threading.Thread(target=self.accept, daemon=True).start()

    def wake(self):
        try:
            self.waker.send(b"!")
        except BlockingIOError:
            pass

    # Detection

    def accept(self):
        context = None
        if self.o.get("tls"):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.o["tls"]["cert"], self.o["tls"]["key"])
            context.load_verify_locations(self.o["tls"]["ca"])
            context.verify_mode = ssl.CERT_REQUIRED
        while True:
            sock, _ = self.listener.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.detect, args=[sock, context], daemon=True).start()

    def detect(self, sock, context):
        """Waits for as many bytes as the longest command has, even where fewer
        would tell, and hands the connection to the loop."""
        try:
            sock.settimeout(10)
            if context:
                sock = context.wrap_socket(sock, server_side=True)
            end, prefix = time.monotonic() + self.o.get("detect", 10), b""
            while len(prefix) < REQUIRED:
                sock.settimeout(max(0.001, end - time.monotonic()))
                data = sock.recv(REQUIRED - len(prefix))
                if not data:
                    raise ConnectionError("the client has gone")
                prefix += data
        except OSError:
            reset(sock)
            return
        if not prefix.startswith(COMMANDS):
            reset(sock)
            return
        sock.setblocking(False)
        self.joining.put(Connection(self, sock, prefix))
        self.wake()

    # The loop

    def loop(self):
        """Reads and writes for all. Whether a client was silent for too long it sees
        when something wakes it: a beat of its own, bytes, or half a minute."""
        while True:
            now = time.monotonic()
            waits = [30.0]
            for c in self.connections.values():
                if c.give:
                    waits.append(max(0, c.last_out + c.give / 1000 - now))
                if self.o.get("nudge") and c.unnudged:
                    waits.append(max(0, c.next_nudge - now))
                if c.pending() or c.prefix:
                    waits.append(0)
            ready = {key.fileobj for key, _ in self.selector.select(min(waits))}
            while time.monotonic() < self.frozen_until:
                time.sleep(0.01)
            if self.woken in ready:
                self.woken.recv(65536)
            while not self.joining.empty():
                c = self.joining.get()
                self.connections[c.sock] = c
                self.selector.register(c.sock, selectors.EVENT_READ)
            for c in list(self.connections.values()):
                self.turn(c, c.sock in ready)

    def turn(self, c, ready):
        try:
            if ready or c.pending() or c.prefix:
                c.read()
            now = time.monotonic()
            if c.want and now - c.last_in > c.want / 1000:
                raise ConnectionError("heart-beat")
            c.beat(now)
            c.write()
            c.nudge(now)
        except Unknown:
            self.leave(c)
            threading.Timer(2, c.sock.close).start()  # late, and by accident
        except Exception as e:
            if not isinstance(e, OSError):
                print("vdsm: %r" % e, file=sys.stderr)
            self.leave(c)
            c.sock.close()

    def leave(self, c):
        self.connections.pop(c.sock, None)
        self.selector.unregister(c.sock)
        c.closed, c.subs = True, {}

    def listeners(self, destination):
        """Returns who hears what is sent to a destination: its subscribers and those
        of its parents."""
        parts = destination.split(".")
        names = {".".join(parts[:n + 1]) for n in range(len(parts))}
        return self.subscribers(names)

    def subscribers(self, names):
        return [(c, id) for c in list(self.connections.values()) for id, d in list(c.subs.items()) if d in names]

    # Requests

    def request(self, reply_to, flow, body):
        try:
            got = json.loads(body)
            for r in got if isinstance(got, list) else [got]:
                self.reply_to[r.get("id")] = reply_to
        except Exception:
            pass
        self.flows.append(flow)
        self.requests.put(body)

    def send(self, text, destination=RESPONSES):
        """Sends an answer or an event, which has to be an object."""
        message = json.loads(text)
        if not isinstance(message, dict):
            raise ValueError("Provided message %s failed parsing to dictionary" % text)
        destination = self.reply_to.pop(message.get("id"), destination)
        for c, id in self.subscribers({destination}):
            c.queue(frame("MESSAGE", {"destination": destination, "content-type": "application/json", "subscription": id}, text.encode()))

    def dispatch(self):
        """Takes requests one after another. What cannot be sent ends it for good."""
        while True:
            self.handle(self.requests.get())

    def handle(self, body):
        try:
            got = json.loads(body)
        except ValueError:
            self.send(response(None, error=(-32700, "Parse error")))
            return
        if not isinstance(got, (list, dict)):
            self.send(response(None, error=(-32603, "Internal JSON-RPC error: {'reason': 'not an object'}")))
            return
        requests = got if isinstance(got, list) else [got]
        context = Context(self, len(requests))
        calls = 0
        for r in requests:
            params = r.get("params", []) if isinstance(r, dict) else None
            if not isinstance(params, (list, dict)) or r.get("jsonrpc") != "2.0" or not isinstance(r.get("method"), str):
                for _ in range(2):
                    self.send(response(None, error=(-32600, "Invalid request")))
                context.drop()
                continue
            if "id" not in r:
                context.drop()
                continue
            calls += 1
            self.queue(r, params, context)
        if not calls:
            self.send("[]")

    def queue(self, r, params, context):
        if self.o.get("recovering"):
            context.answer(response(r["id"], error=(99, "Recovering from crash or Initializing")))
            return
        try:
            self.tasks.put_nowait((r, params, context))
        except queue.Full:
            context.answer(response(r["id"], error=(1100, "Not enough resources: {'reason': 'Too many tasks'}")))

    def work(self):
        while True:
            r, params, context = self.tasks.get()
            try:
                context.answer(self.run(r, params))
            except ValueError as e:
                print("vdsm: %s" % e, file=sys.stderr)  # the worker goes on, and nobody is told

    def run(self, r, params):
        method = METHODS.get(r["method"])
        if method is None:
            return response(r["id"], error=(-32601, "The method does not exist / is not available: {'method': %r}" % r["method"]))
        try:
            result = method(**params) if isinstance(params, dict) else method(*params)
        except Failure as e:
            return response(r["id"], error=e.args)
        except Exception as e:
            return response(r["id"], error=(-32603, "Internal JSON-RPC error: {'reason': %r}" % str(e)))
        return response(r["id"], result=True if result is None else result)


class Context:
    """Gathers the answers to what came together."""

    def __init__(self, server, n):
        self.server, self.n, self.answers = server, n, []
        self.mu = threading.Lock()

    def drop(self):
        with self.mu:
            self.n -= 1

    def answer(self, text):
        with self.mu:
            self.answers.append(text)
            done = len(self.answers) == self.n
        if done:
            self.server.send(self.answers[0] if self.n == 1 else "[%s]" % ", ".join(self.answers))


class Failure(Exception):
    pass


def response(id, **what):
    if "error" in what:
        what["error"] = {"code": what["error"][0], "message": what["error"][1]}
    return json.dumps({"jsonrpc": "2.0", "id": id, **what})


def echo(msg):
    return msg


def sleep(ms):
    time.sleep(ms / 1000)
    return ms


def fail(code, message):
    raise Failure(code, message)


METHODS = {"Host.ping": lambda: None, "Host.getCapabilities": lambda: {"vdsm": "toy"}, "Host.getStats": lambda: {"cpu": 1},
           "Test.echo": echo, "Test.sleep": sleep, "Test.fail": fail}


def run(o):
    server = Server(o)
    commands.answer(port=server.listener.getsockname()[1])

    def frames_():
        """Returns the frames that have come since it was last asked."""
        got = []
        while server.frames:
            c, h, b = server.frames.popleft()
            got.append({"command": c, "headers": h, "body": b.decode("utf-8", "replace")})
        return {"frames": got}

    def publish(event, params=None):
        server.send(json.dumps({"jsonrpc": "2.0", "method": event, "params": params or {}}), EVENTS)

    def state():
        return {"connected": server.dispatcher.is_alive(), "flows": [f for f in server.flows if f],
                "subscriptions": len(server.subscribers({d for c in server.connections.values() for d in c.subs.values()}))}

    def cut():
        """Ends every connection as a machine does that goes down."""
        for c in list(server.connections.values()):
            c.sock.shutdown(socket.SHUT_RDWR)

    def freeze(seconds):
        server.frozen_until = time.monotonic() + seconds
        server.wake()

    commands.serve(dict(frames=frames_, publish=publish, state=state, cut=cut, freeze=freeze))


run(commands.options())
