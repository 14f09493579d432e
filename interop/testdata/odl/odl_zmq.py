"""OpenDaylight's ZMQ transport as it is on the wire, for the Go tests.

    odl_zmq.py rep            answers; tells {"event": "listening", "port": N}
    odl_zmq.py pub            publishes to who subscribes
    odl_zmq.py req PORT       calls
    odl_zmq.py sub PORT       subscribes to everything

Commands come by stdin, see obey in bus.py. The codec is its own, as the real one is:

* the greeting is ZMTP 3.0, mechanism NULL; the first 11 bytes leave at once, the rest
  when the peer's version is there. READY has the property Socket-Type alone.
* REQ goes with REP, PUB with SUB, and nothing else with anything.
* what is sent is an empty frame and a frame with the whole JSON text, by one write.
  So are publications: there is no topic.
* what is received is read 2048 bytes at a time. A greeting that is cut within its
  signature or within the last 52 bytes, a frame whose header is cut, and any command
  after READY end the connection.
* an empty frame is passed over; any other is one JSON text.
* SUBSCRIBE is a message, 01 and the topic. 00 is taken for the same.
* clients that have lost their connection make another after a second.

ZMTP 2.0, which the real one falls back to, is not here.
"""
import socket
import struct
import sys
import threading
import time

import bus

READ = 2048
PAIRS = {"REQ": "REP", "REP": "REQ", "PUB": "SUB", "SUB": "PUB"}
SIGNATURE = b"\xff" + struct.pack(">Q", 1) + b"\x7f"
REST = b"\x00" + b"NULL".ljust(20, b"\x00") + b"\x00" + bytes(31)


def frame(payload, more=False, command=False):
    flags = (1 if more else 0) | (4 if command else 0)
    if len(payload) > 255:
        return struct.pack(">BQ", flags | 2, len(payload)) + payload
    return struct.pack(">BB", flags, len(payload)) + payload


def ready(kind):
    name = b"Socket-Type"
    body = b"\x05READY" + bytes([len(name)]) + name + struct.pack(">I", len(kind)) + kind.encode()
    return frame(body, command=True)


def message(text):
    return frame(b"", more=True) + frame(text.encode())


class Channel:
    """One connection. take gets what each read returned; received is called with each
    frame after the handshake."""

    def __init__(self, conn, kind, log):
        self.conn, self.kind, self.log = conn, kind, log
        self.conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.state, self.rest, self.payload = self.signature, b"", b""
        self.shaken = threading.Event()
        self.writing = threading.Lock()
        self.write(SIGNATURE + b"\x03")

    def write(self, data):
        with self.writing:
            self.conn.sendall(data)

    def run(self, received):
        """Reads until the connection ends, and returns why."""
        self.received = received
        try:
            while True:
                chunk = self.conn.recv(READ)
                if not chunk:
                    return "the peer closed"
                self.take(chunk)
        except bus.Closed as e:
            return str(e)
        except OSError as e:
            return "%s: %s" % (type(e).__name__, e)
        finally:
            self.conn.close()

    def take(self, chunk):
        """Goes through what one read returned. Nothing is kept of it but the
        payload of a frame."""
        self.rest = chunk
        while self.rest:
            self.state()

    def cut(self, n, what):
        if len(self.rest) < n:
            raise bus.Closed("%s came in pieces: %d bytes of %d" % (what, len(self.rest), n))
        got, self.rest = self.rest[:n], self.rest[n:]
        return got

    def signature(self):
        got = self.cut(10, "the signature")
        if got[0] != 0xFF or got[9] != 0x7F:
            raise bus.Closed("no signature: %s" % got.hex())
        self.state = self.major

    def major(self):
        if self.cut(1, "the version")[0] < 3:
            raise bus.Closed("the peer speaks ZMTP 2.0, which this program does not")
        self.write(REST)
        self.state = self.minor

    def minor(self):
        self.cut(1, "the version")
        self.state = self.mechanism

    def mechanism(self):
        got = self.cut(52, "the greeting")
        if got[:20].rstrip(b"\x00") != b"NULL":
            raise bus.Closed("the peer's mechanism is %r" % got[:20])
        self.write(ready(self.kind))
        self.state = self.header

    def header(self):
        self.flags = self.cut(1, "a flag")[0]
        if self.flags & ~7:
            raise bus.Closed("a frame has the flags %#x" % self.flags)
        if self.flags & 2:
            self.left = struct.unpack(">Q", self.cut(8, "the header of a frame"))[0]
        else:
            self.left = self.cut(1, "the header of a frame")[0]
        self.payload, self.state = b"", self.body
        if self.left == 0:
            self.body()

    def body(self):
        got, self.rest = self.rest[: self.left], self.rest[self.left :]
        self.payload += got
        self.left -= len(got)
        if self.left > 0:
            return
        self.state = self.header
        if not self.shaken.is_set():
            self.greet()
        elif self.flags & 4:
            raise bus.Closed("a command after READY: %r" % self.payload[:16])
        else:
            self.received(self.payload, bool(self.flags & 1))

    def greet(self):
        if not self.flags & 4 or self.payload[:6] != b"\x05READY":
            raise bus.Closed("no READY but %r" % self.payload[:16])
        properties, b = {}, self.payload[6:]
        while b:
            n = b[0]
            name, (length,) = b[1 : 1 + n].decode(), struct.unpack(">I", b[1 + n : 5 + n])
            properties[name] = b[5 + n : 5 + n + length].decode("latin-1")
            b = b[5 + n + length :]
        self.log.note("ready", properties=properties)
        theirs = properties.get("Socket-Type")
        if PAIRS[self.kind] != theirs:
            raise bus.Closed("a %s does not go with a %s" % (theirs, self.kind))
        if self.kind == "SUB":
            self.write(frame(b"\x01"))
        self.shaken.set()


class Server:
    """Listens; a subclass has a Channel served."""

    def __init__(self, kind):
        self.kind, self.log = kind, bus.Log()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.open = set()

    def port(self):
        return self.listener.getsockname()[1]

    def run(self):
        threading.Thread(target=self.accept, daemon=True).start()
        bus.tell("listening", port=self.port())
        bus.obey(self.actions())

    def accept(self):
        while True:
            conn, _ = self.listener.accept()
            threading.Thread(target=self.attend, args=(conn,), daemon=True).start()

    def attend(self, conn):
        try:
            channel = Channel(conn, self.kind, self.log)
        except OSError:
            return
        self.open.add(channel)
        why = self.serve(channel)
        self.open.discard(channel)
        self.log.note("closed", why=why)

    def drop(self):
        """Closes all connections."""
        for channel in list(self.open):
            channel.conn.shutdown(socket.SHUT_RDWR)


class Rep(Server):
    """Every connection has a thread that answers one text after the other."""

    def __init__(self):
        super().__init__("REP")
        self.responder = bus.Responder()

    def actions(self):
        return {"log": self.log.take, "executed": lambda: {"executed": self.responder.executed}, "drop": self.drop}

    def serve(self, channel):
        texts = bus.queue.Queue()
        worker = threading.Thread(target=self.work, args=(channel, texts), daemon=True)
        worker.start()

        def received(payload, more):
            if payload:
                self.log.note("text", text=payload.decode())
                texts.put(payload.decode())

        why = channel.run(received)
        texts.put(None)
        return why

    def work(self, channel, texts):
        while (text := texts.get()) is not None:
            try:
                self.responder.answer(text, lambda answer: channel.write(message(answer)))
            except (bus.Closed, OSError) as e:
                self.log.note("closes", why=str(e))
                channel.conn.close() if isinstance(e, OSError) else channel.conn.shutdown(socket.SHUT_RDWR)
                return


class Pub(Server):
    """The topics are a filter here, and do not leave."""

    def __init__(self):
        super().__init__("PUB")
        self.topics, self.lock = {}, threading.Lock()

    def actions(self):
        return {"log": self.log.take, "publish": self.publish, "subscribers": self.subscribers}

    def serve(self, channel):
        def received(payload, more):
            if payload:  # 00, which cancels, is taken for 01
                self.log.note("subscribe", topic=payload[1:].decode())
                with self.lock:
                    self.topics.setdefault(channel, []).append(payload[1:].decode())

        why = channel.run(received)
        with self.lock:
            self.topics.pop(channel, None)
        return why

    def publish(self, text, topic=""):
        with self.lock:
            wanted = [c for c, topics in self.topics.items() if any(topic.startswith(t) for t in topics)]
        for channel in wanted:
            channel.write(message(text))
        return {"sent": len(wanted)}

    def subscribers(self, n, timeout=10):
        end = time.monotonic() + timeout
        while len(self.topics) < n:
            if time.monotonic() > end:
                raise TimeoutError("%d subscribers" % len(self.topics))
            time.sleep(0.005)


class Client:
    """A connection that is made again, a second after it was lost, for ever."""

    def __init__(self, kind, port):
        self.kind, self.port, self.log = kind, port, bus.Log()
        self.channel, self.inbox, self.connections = None, bus.Inbox(), 0
        threading.Thread(target=self.keep, daemon=True).start()

    def keep(self):
        while True:
            try:
                self.channel = Channel(socket.create_connection(("127.0.0.1", self.port)), self.kind, self.log)
                self.connections += 1
                why = self.channel.run(self.received)
            except OSError as e:
                why = str(e)
            self.log.note("closed", why=why)
            self.inbox.put(bus.Inbox.LOST)
            time.sleep(1)

    def received(self, payload, more):
        self.log.note("frame", size=len(payload), more=more)
        if payload:
            self.inbox.put(payload.decode())
        elif not more:
            self.inbox.put(bus.Inbox.EMPTY)

    def ready(self, timeout=10):
        """Connected and shaken hands, looked at every so often."""
        end = time.monotonic() + timeout
        while self.channel is None or not self.channel.shaken.is_set():
            if time.monotonic() > end:
                raise TimeoutError("Transport not ready")
            time.sleep(0.005)
        return {"connections": self.connections}


class Req(Client):
    def __init__(self, port):
        super().__init__("REQ", port)
        self.requester = bus.Requester(self)
        self.read = self.inbox.read

    def send(self, text):
        self.ready()
        self.channel.write(message(text))

    def raw(self, text, timeout=10):
        self.send(text)
        return self.inbox.peek(timeout)

    def more(self, timeout=0.2):
        return self.inbox.peek(timeout)

    def actions(self):
        return {
            "ready": self.ready,
            "log": self.log.take,
            "raw": self.raw,
            "more": self.more,
            "call": self.requester.call,
            "invoke": self.requester.invoke,
        }


class Sub(Client):
    """A text that is no notification ends the connection."""

    def __init__(self, port):
        super().__init__("SUB", port)

    def received(self, payload, more):
        self.log.note("frame", size=len(payload), more=more)
        if not payload:
            return
        kind, m = bus.messages(payload.decode())[0]
        if kind != bus.NOTIFICATION:
            raise bus.Closed("no notification: %r" % payload[:40])
        self.inbox.put(payload.decode())

    def actions(self):
        return {"ready": self.ready, "log": self.log.take, "next": self.inbox.peek}


def main():
    role = sys.argv[1]
    if role in ("rep", "pub"):
        {"rep": Rep, "pub": Pub}[role]().run()
        return
    client = {"req": Req, "sub": Sub}[role](int(sys.argv[2]))
    bus.obey(client.actions())


if __name__ == "__main__":
    main()
