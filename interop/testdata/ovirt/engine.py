"""Speaks to a host as oVirt's engine does by its Java library, vdsm-jsonrpc-java
1.7.4, with what is wrong about it: this is what a server has to get along with.

Options (see commands.py):

    port        of the server on 127.0.0.1
    tls         {"ca", "cert", "key"}: paths; absent means plain
    host        what the header host says; "null" if the engine has it off
    heartbeat   ms that the server may be silent, at first; 30000 if absent
    timeout     ms after which a call is sent again or given up; 180000 if absent
    retries     how often a call is sent again; 0 if absent
    lose        "CONNECT" or "events": the frame that the race of plain mode loses
    patience    seconds to wait for CONNECTED; 5 if absent
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

HEADER = 1024  # bytes of the buffer in which a frame has to begin
RECORD = 16709  # bytes of the buffer for what TLS has not decrypted yet
EVENTS, RESPONSES, REQUESTS = "jms.queue.events", "jms.topic.vdsm_responses", "jms.topic.vdsm_requests"
NETWORK = 5022


class Broken(Exception):
    """An exception within the client, for which it drops the connection."""


def java_hash(s):
    h = 0
    for c in s:
        h = (31 * h + ord(c)) & 0xFFFFFFFF
    return h ^ h >> 16


def frame(command, headers, body=b""):
    """Builds one: headers in the order of a HashMap, nothing escaped, and a
    content-length after them if there is a body."""
    lines = [command] + ["%s:%s" % (k, headers[k]) for k in sorted(headers, key=lambda k: java_hash(k) & 15)]
    if body:
        lines.append("content-length:%d" % len(body))
    return "\n".join(lines).encode() + b"\n\n" + body + b"\0"


def java_split(s, by):
    """String.split: empty strings at the end go."""
    parts = s.split(by)
    while parts and not parts[-1]:
        parts.pop()
    return parts


class Frame:
    def __init__(self, command, headers, content):
        self.command, self.headers, self.content = command, headers, content

    def length(self):
        try:
            return int(self.headers["content-length"])
        except (KeyError, ValueError):
            return -1


def parse(data):
    """Returns a frame, whose content includes the NUL and what follows it, or None
    if there is too little to tell it from heart-beats."""
    lines = java_split(data, b"\n")
    if not lines:
        return None
    line = 0
    while not lines[line]:
        line += 1
    if len(lines) - line <= 2:
        return None
    command = lines[line].replace(b"\0", b"").decode("utf-8", "replace")
    if command not in ("SEND", "SUBSCRIBE", "UNSUBSCRIBE", "BEGIN", "COMMIT", "ABORT", "DISCONNECT", "CONNECT",
                       "RECEIPT", "CONNECTED", "ERROR", "ACK", "MESSAGE"):
        raise Broken("Unrecognized message received ")
    headers = {}
    line += 1
    while True:
        if line >= len(lines):
            raise Broken("Index %d out of bounds for length %d" % (line, len(lines)))
        if not lines[line]:
            break
        name, colon, value = lines[line].partition(b":")
        if not colon:
            raise Broken("begin 0, end -1, length %d" % len(name))
        headers[name.decode()] = value.decode()  # "\r" stays, and so does "\c"
        line += 1
    line += 1
    return Frame(command, headers, data[sum(len(l) + 1 for l in lines[:line]):])


class Plain:
    """A channel without TLS."""

    def __init__(self, sock):
        self.sock = sock

    def read(self, most):
        """Returns what one read gives: None at the end, and the number that the
        client believes to have read."""
        try:
            data = self.sock.recv(most) if most else b""
        except (BlockingIOError, InterruptedError):
            return b"", 0
        return (data, len(data)) if data or not most else (None, -1)

    def write(self, data):
        return self.sock.send(data)


class Secure(Plain):
    """One with TLS: what the socket has is read in blocks of RECORD bytes, and one
    record of it is decrypted for each read. What is decrypted already counts as
    nothing read."""

    def __init__(self, sock, o):
        super().__init__(sock)
        context = ssl.create_default_context(cafile=o["ca"])
        context.check_hostname = False
        if o.get("cert"):
            context.load_cert_chain(o["cert"], o["key"])
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing)
        self.decrypted = b""
        self.ended = False
        while True:
            try:
                self.tls.do_handshake()
                self.sock.sendall(self.outgoing.read())
                return
            except ssl.SSLWantReadError:
                self.sock.sendall(self.outgoing.read())
                data = self.sock.recv(RECORD)
                if not data:
                    raise ConnectionError("the server ended the handshake")
                self.incoming.write(data)

    def read(self, most):
        count = 0
        if not self.decrypted:
            room = RECORD - self.incoming.pending
            try:
                data = self.sock.recv(room) if room > 0 else b""
                self.ended = not data and room > 0
                self.incoming.write(data)
            except (BlockingIOError, InterruptedError):
                pass
            try:
                self.decrypted = self.tls.read(RECORD)  # of one record
            except (ssl.SSLWantReadError, ssl.SSLZeroReturnError, ssl.SSLEOFError):
                pass
            count = len(self.decrypted)
        data, self.decrypted = self.decrypted[:most], self.decrypted[most:]
        return (None, 0) if self.ended and not data else (data, count)

    def write(self, data):
        self.tls.write(data)
        self.sock.setblocking(True)
        self.sock.sendall(self.outgoing.read())
        self.sock.setblocking(False)
        return len(data)


class Call:
    def __init__(self, id, body, retries):
        self.id, self.body, self.retries = id, body, retries
        self.sent = time.monotonic()
        self.answers = []
        self.done = threading.Event()

    def finish(self, answer):
        self.answers.append(answer)
        self.done.set()


class Engine:
    """A client of the library: it outlives its connections. One thread, the
    reactor, has the socket."""

    def __init__(self, o):
        self.o = o
        self.incoming, self.outgoing = o.get("heartbeat", 30000), 0
        self.timeout = o.get("timeout", 180000) / 1000
        self.outbox = collections.deque()  # what is on the right leaves first
        self.calls, self.late = {}, []
        self.mu = threading.RLock()
        self.channel = None
        self.connected = threading.Event()
        self.asked, self.promised, self.sent, self.problems, self.errors = [], [], [], [], []
        self.events = collections.deque()
        self.flow = None
        self.wake, self.woken = socket.socketpair()
        self.woken.setblocking(False)
        self.clean()
        threading.Thread(target=self.reactor, daemon=True).start()
        threading.Thread(target=self.track, daemon=True).start()

    def clean(self):
        self.head, self.message, self.rest, self.want = b"", None, b"", 0

    # Connecting

    def connect(self):
        if self.channel is not None:
            return
        sock = socket.create_connection(("127.0.0.1", self.o["port"]), timeout=20)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        channel = Secure(sock, self.o["tls"]) if self.o.get("tls") else Plain(sock)
        sock.setblocking(False)
        with self.mu:
            self.clean()
            self.connected.clear()
            self.subscriptions, self.sent = [], []
            self.last = time.monotonic()
            self.ended = False
            self.open(bool(self.o.get("tls")))
            self.channel = channel
        self.wake.send(b"!")
        self.connected.wait(self.o.get("patience", 5))  # if nothing comes, it counts as connected

    def open(self, secure):
        """Queues the frames that begin a connection, each before what is queued, so
        that the last, CONNECT, is the first to leave. Without TLS the reactor is at
        work meanwhile: both SUBSCRIBE have left when CONNECT comes, and at times it
        removes a frame that it has not written."""
        frames = []
        for name in RESPONSES, EVENTS:
            id = str(uuid.uuid4())
            self.subscriptions.append(id)
            frames.append(("responses" if name == RESPONSES else "events",
                           frame("SUBSCRIBE", {"destination": name, "id": id, "ack": "auto"})))
        headers = {"accept-version": "1.2", "host": self.o.get("host", "127.0.0.1")}
        if self.incoming or self.outgoing:
            headers["heart-beat"] = "%d,%d" % (self.outgoing, int(self.incoming * 0.5 + 0.5))
            self.asked.append(headers["heart-beat"])
        frames.append(("CONNECT", frame("CONNECT", headers)))
        frames = frames[::-1] if secure else [f for f in (frames[1], frames[0], frames[2]) if f[0] != self.o.get("lose")]
        self.outbox.extend(f for _, f in reversed(frames))

    def disconnect(self, why):
        """Fails all calls."""
        with self.mu:
            if self.channel is None:
                return
            self.problems.append(why)
            self.channel.sock.close()
            self.channel = None
            self.clean()
            calls, self.calls = self.calls, {}
        for c in calls.values():
            c.finish({"error": {"code": NETWORK, "message": why}})

    # The reactor

    def reactor(self):
        while True:
            with self.mu:
                channel = self.channel
                watch = [self.woken] + ([channel.sock] if channel and not self.ended and not self.deaf() else [])
                writes = [channel.sock] if channel and self.outbox else []
            try:
                ready, _, _ = select.select(watch, writes, [], 0.05 if channel and self.ended else 1)
            except (OSError, ValueError):
                continue  # closed meanwhile
            if self.woken in ready:
                self.woken.recv(4096)
            with self.mu:
                if self.channel is None or self.channel is not channel:
                    continue
                try:
                    self.process()
                except Broken as e:
                    self.disconnect("internal: %s" % e)
                except OSError as e:
                    self.disconnect("network: %s" % e)

    def deaf(self):
        """Reports whether there is no room for more: what came is no frame, and stays."""
        return self.message is None and len(self.head) == HEADER

    def process(self):
        """What a selected key has the client do: it reads once, looks at its
        heart-beat and writes one buffer."""
        self.process_incoming()
        silent = (time.monotonic() - self.last) * 1000
        if self.incoming and silent > self.incoming:
            self.silent = silent
            self.disconnect("heart-beat: last response arrived %d ms ago" % silent)
            return
        if not self.outbox:
            return
        data = self.outbox[-1]
        n = self.channel.write(data)
        self.sent.append(data.split(b"\n", 1)[0].decode())
        self.outbox.pop()
        if n < len(data):
            self.outbox.append(data[n:])

    def read(self, most):
        data, count = self.channel.read(most)
        if data is None:  # the end: it goes on, without a pause
            self.ended = True
            return b"", count
        return data, count

    def process_incoming(self):
        if self.message is None:
            data, count = self.read(HEADER - len(self.head))
            self.head += data
            if count <= 0:
                return
            self.last = time.monotonic()
            m = parse(self.head)
            if m is None:
                return
            length = m.length()
            if length == -1:
                self.control()
                return
            have = len(m.content)
            if length == have - 1:
                self.emit(m)
                return
            if length <= have:
                m.content, rest = m.content[:length + 1].ljust(length + 1, b"\0"), m.content[length + 1:]
                self.emit(m)
                self.head = rest  # and stays there until more comes
                return
            self.message, self.rest, self.want = m, b"", length - have + 1
        data, _ = self.read(self.want - len(self.rest))
        self.rest += data
        if not self.ended:
            self.last = time.monotonic()
        if len(self.rest) == self.want:
            self.message.content += self.rest
            self.emit(self.message)

    def control(self):
        """Takes what is in the buffer for frames without content-length."""
        for part in java_split(self.head, b"\0"):
            m = parse(part + b"\0")
            if m is None:
                raise Broken('Cannot invoke "Message.getContentLength()" because "mesg" is null')
            if m.length() not in (-1, len(m.content) - 1):
                self.head = b""
                return  # and what it was is forgotten
            self.emit(m)

    def emit(self, m):
        self.clean()
        if not m.content:
            raise Broken("0 > -1")
        body = m.content[:-1]
        if m.command == "CONNECTED":
            self.negotiate(m.headers.get("heart-beat", ""))
            self.promised.append(m.headers.get("heart-beat", ""))
            self.connected.set()
        elif m.command == "ERROR":
            self.errors.append(m.headers.get("message", "") + body.decode())
        elif m.command == "MESSAGE":
            self.received(body)

    def negotiate(self, beats):
        try:
            theirs, ours = (int(n) for n in beats.split(",")[:2])
        except ValueError:
            return
        if ours != self.outgoing:
            self.outgoing = int(ours * 0.5 + 0.5)
        if theirs != self.incoming:
            self.incoming = int(theirs * 1.5 + 0.5)

    # Calls

    def received(self, body):
        try:
            got = json.loads(body)
        except ValueError:
            self.problems.append("not JSON: %r" % body[:60])
            return
        for r in got if isinstance(got, list) else [got]:
            if "method" in r:
                parts = ("127.0.0.1" + r["method"]).split("|")
                if len(parts) == 4:
                    self.events.append({"id": "|".join(parts), "params": r.get("params")})
                else:
                    self.problems.append("event id %s" % r["method"])
                continue
            with self.mu:
                c = self.calls.pop(r.get("id"), None)
            if c:
                c.finish(r)
            else:
                self.late.append(r)

    def send(self, body, destination=REQUESTS):
        headers = {"destination": destination, "reply-to": RESPONSES}
        if self.flow:
            headers["ovirtCorrelationId"] = self.flow
        self.outbox.appendleft(frame("SEND", headers, body))
        self.wake.send(b"!")

    def start(self, method, params, destination=REQUESTS):
        id = str(uuid.uuid4())
        body = json.dumps({"jsonrpc": "2.0", "method": method, "params": params or {}, "id": id}, separators=(",", ":")).encode()
        c = Call(id, body, self.o.get("retries", 0))
        try:
            self.connect()
        except OSError as e:
            c.finish({"error": {"code": NETWORK, "message": "connection: %s" % e}})
            return c
        with self.mu:
            self.calls[id] = c
            self.send(body, destination)
        return c

    def track(self):
        """Looks every 500 ms for calls that have waited for too long."""
        while True:
            time.sleep(0.5)
            with self.mu:
                old = [c for c in self.calls.values() if time.monotonic() - c.sent > self.timeout]
                for c in old:
                    if c.retries > 0:
                        c.retries -= 1
                        c.sent = time.monotonic()
                        self.send(c.body)
                    else:
                        del self.calls[c.id]
                        c.finish({"error": {"code": NETWORK, "message": "Message timeout which can be caused by communication issues"}})

    def close(self):
        """Queues UNSUBSCRIBE and DISCONNECT, having told the reactor to do no more."""
        with self.mu:
            if self.channel:
                self.channel.sock.close()
            self.channel = None
            self.outbox.clear()
            self.clean()


def run(o):
    e = Engine(o)
    running = {}

    def connect():
        e.connect()
        return {"connected": e.connected.is_set()}

    def call(method, params=None, flow=None, destination=REQUESTS, wait=10):
        e.flow = flow
        c = e.start(method, params, destination)
        e.flow = None
        if not c.done.wait(wait):
            return {"lost": 1}
        return {"answer": c.answers[0]}

    def start(name, method, params=None):
        running[name] = e.start(method, params)

    def finish(name, wait=10):
        c = running.pop(name)
        return {"answer": c.answers[0]} if c.done.wait(wait) else {"lost": 1}

    def parallel(method, n, wait=10, pad=0):
        """Makes n calls at once whose params are to come back."""
        begin = time.monotonic()
        calls = [(i, e.start(method, {"msg": {"n": i, "pad": "x" * pad}})) for i in range(n)]
        end, found = begin + wait, collections.Counter()
        for i, c in calls:
            c.done.wait(max(0, end - time.monotonic()))
            if not c.answers:
                found["lost"] += 1
            elif "error" in c.answers[0]:
                found["error %s" % c.answers[0]["error"]["code"]] += 1
            elif c.answers[0]["result"].get("n") == i:
                found["answered"] += 1
            else:
                found["wrong"] += 1
        return {"found": found, "seconds": time.monotonic() - begin, "late": len(e.late)}

    def events(n, wait=10):
        end = time.monotonic() + wait
        while len(e.events) < n and time.monotonic() < end:
            time.sleep(0.01)
        return {"events": [e.events.popleft() for _ in range(min(n, len(e.events)))]}

    def reconnect(n):
        """Loses the connection n times, which the next call repairs."""
        for _ in range(n):
            with e.mu:
                e.channel.sock.close()
                e.channel = None
            e.connect()

    def lost(wait=30):
        """Waits until the client has noticed that its connection is lost."""
        begin = time.monotonic()
        while e.channel is not None and time.monotonic() - begin < wait:
            time.sleep(0.01)
        return {"noticed": e.channel is None, "seconds": time.monotonic() - begin}

    def state():
        with e.mu:
            return {"connected": e.connected.is_set(), "open": e.channel is not None, "asked": e.asked, "promised": e.promised,
                    "sent": e.sent, "problems": e.problems, "errors": e.errors, "late": len(e.late),
                    "buffered": len(e.head), "deadline": e.incoming}

    def close():
        e.close()

    commands.serve(dict(connect=connect, call=call, start=start, finish=finish, parallel=parallel, events=events,
                        reconnect=reconnect, lost=lost, state=state, close=close))


run(commands.options())
