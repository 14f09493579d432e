"""The Python counterpart of OpenDaylight's bus, as it is on the wire, for the Go tests.

    inocybe.py rep [strict]   answers; tells {"event": "listening", "port": N}. A strict
                              one does not know metadata either
    inocybe.py pub            publishes
    inocybe.py req PORT       calls
    inocybe.py sub PORT       subscribes to everything

Commands come by stdin, see obey in bus.py. Its sockets are those of libzmq, so nothing
of the handshake is fragile, and pings are answered. A publication is the topic and a
line. A subscriber demands exactly two frames.

The asynchronous flow of its server, as its documentation has it: a truthy
metadata.async asks for it. true has the server choose a handle, anything else is one.
A method that has its result at once is answered as ever. Else the answer has the
handle in its metadata, and neither result nor error. Who repeats the metadata asks
again; method and params are not looked at then. The last answer has no metadata, and
the handle is forgotten: who asks once more makes a new call.

Members that it does not know are -32600, names that begin with rpc. too, and so is a
batch. Requests without an id are answered all the same.
"""
import socket
import struct
import sys
import threading
import time
import uuid

import bus
from odl_zmq import PAIRS, REST, SIGNATURE, Server, frame, ready


class Wire:
    """A connection of libzmq: patient, and it answers pings."""

    def __init__(self, conn, kind):
        self.conn, self.kind, self.rest = conn, kind, b""
        conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.writing = threading.Lock()
        self.write(SIGNATURE + b"\x03" + REST)
        theirs = self.take(64)
        if theirs[0] != 0xFF or theirs[10] < 3:
            raise bus.Closed("no greeting of ZMTP 3: %s" % theirs.hex())
        self.write(ready(kind))
        flags, payload = self.frame()
        if not flags & 4 or payload[:6] != b"\x05READY":
            raise bus.Closed("no READY but %r" % payload)
        if PAIRS[kind].encode() not in payload:
            raise bus.Closed("%r does not go with a %s" % (payload, kind))
        if kind == "SUB":
            self.write(frame(b"\x01"))

    def write(self, data):
        with self.writing:
            self.conn.sendall(data)

    def take(self, n):
        while len(self.rest) < n:
            chunk = self.conn.recv(65536)
            if not chunk:
                raise bus.Closed("the peer closed")
            self.rest += chunk
        got, self.rest = self.rest[:n], self.rest[n:]
        return got

    def frame(self):
        flags = self.take(1)[0]
        n = struct.unpack(">Q", self.take(8))[0] if flags & 2 else self.take(1)[0]
        return flags, self.take(n)

    def message(self):
        frames = []
        while True:
            flags, payload = self.frame()
            if flags & 4:
                if payload[:5] == b"\x04PING":
                    self.write(frame(b"\x04PONG" + payload[7:], command=True))
                continue
            frames.append(payload)
            if not flags & 1:
                return frames

    def send(self, *frames):
        self.write(b"".join(frame(f, more=i < len(frames) - 1) for i, f in enumerate(frames)))


class Service:
    """Methods, and calls that go on by their handles."""

    MEMBERS = {"jsonrpc", "id", "method", "params", "metadata"}

    def __init__(self, strict):
        self.known = self.MEMBERS - {"metadata"} if strict else self.MEMBERS
        self.running, self.executed = {}, []
        self.methods = {"add": lambda a, b: a + b, "echo": lambda *a, **b: b or list(a), "slow": self.slow, "nothing": lambda: None}
        self.slow_ones = {"slow"}

    def slow(self, ms):
        time.sleep(ms / 1000)
        return "slept %d" % ms

    def answer(self, text):
        try:
            m = bus.json.loads(text)
        except ValueError:
            return bus.failure(None, -32700, "Parse error")
        if not isinstance(m, dict):
            return bus.failure(None, -32600, "Invalid request: no object")
        id, name, unknown = m.get("id"), m.get("method"), set(m) - self.known
        if unknown:
            return bus.failure(id, -32600, "Invalid request: unknown members", sorted(unknown))
        metadata = m.get("metadata", {})
        if m.get("jsonrpc") != "2.0" or not isinstance(name, str) or name.startswith("rpc.") or set(metadata) - {"async"}:
            return bus.failure(id, -32600, "Invalid request")
        if not isinstance(m.get("params", []), (list, dict)):
            return bus.failure(id, -32600, "Invalid request: params")
        handle = metadata.get("async")
        if handle and handle in self.running:
            return self.poll(id, handle)
        if name not in self.methods:
            return bus.failure(id, -32601, "Method not found")
        if not handle or name not in self.slow_ones:
            return self.ended(id, *self.run(name, m))
        return self.start(id, str(uuid.uuid4()) if handle is True else handle, name, m)

    def run(self, name, m):
        self.executed.append(name)
        params = m.get("params", [])
        try:
            result = self.methods[name](**params) if isinstance(params, dict) else self.methods[name](*params)
            return "result", result
        except TypeError as e:
            return "error", {"code": -32602, "message": str(e)}
        except Exception as e:
            return "error", {"code": -32000, "message": str(e)}

    def ended(self, id, kind, what):
        return bus.compact({"jsonrpc": "2.0", "id": id, kind: what})

    def start(self, id, handle, name, m):
        call = self.running[handle] = []
        threading.Thread(target=lambda: call.append(self.run(name, m)), daemon=True).start()
        time.sleep(0.01)  # it may have its result by then
        return self.poll(id, handle)

    def poll(self, id, handle):
        call = self.running[handle]
        if not call:
            return bus.compact({"jsonrpc": "2.0", "id": id, "metadata": {"async": handle}})
        del self.running[handle]
        return self.ended(id, *call[0])


class Rep(Server):
    def __init__(self, strict):
        super().__init__("REP")
        self.service = Service(strict)

    def actions(self):
        return {"log": self.log.take, "executed": lambda: {"executed": self.service.executed}}

    def attend(self, conn):
        try:
            wire = Wire(conn, "REP")
            while True:
                empty, text = wire.message()
                self.log.note("text", text=text.decode())
                wire.send(b"", self.service.answer(text).encode())
        except (bus.Closed, OSError, ValueError) as e:
            self.log.note("closed", why=str(e))
        conn.close()


class Pub(Server):
    def __init__(self):
        super().__init__("PUB")
        self.topics, self.lock = {}, threading.Lock()

    def actions(self):
        return {"log": self.log.take, "publish": self.publish, "subscribers": self.subscribers}

    def attend(self, conn):
        try:
            wire = Wire(conn, "PUB")
            while True:
                (what,) = wire.message()
                self.log.note("subscribe", topic=what[1:].decode())
                with self.lock:
                    topics = self.topics.setdefault(wire, [])
                    topics.append(what[1:]) if what[:1] == b"\x01" else topics.remove(what[1:])
        except (bus.Closed, OSError, ValueError) as e:
            self.log.note("closed", why=str(e))
        conn.close()

    def publish(self, text, topic=""):
        with self.lock:
            wanted = [w for w, topics in self.topics.items() if any(topic.encode().startswith(t) for t in topics)]
        for wire in wanted:
            wire.send(topic.encode(), text.encode())
        return {"sent": len(wanted)}

    def subscribers(self, n, timeout=10):
        end = time.monotonic() + timeout
        while len(self.topics) < n:
            if time.monotonic() > end:
                raise TimeoutError("%d subscribers" % len(self.topics))
            time.sleep(0.005)


class Client:
    def __init__(self, kind, port):
        self.wire = Wire(socket.create_connection(("127.0.0.1", port)), kind)

    def receive(self, timeout=10):
        self.wire.conn.settimeout(timeout)
        try:
            return self.wire.message()
        except TimeoutError:
            return None
        finally:
            self.wire.conn.settimeout(None)


class Req(Client):
    """One call after the other, with ids 1, 2, 3, …"""

    def __init__(self, port):
        super().__init__("REQ", port)
        self.id = 0

    def raw(self, text, timeout=10):
        self.wire.send(b"", text.encode())
        frames = self.receive(timeout)
        if frames is None:
            return {"timeout": True}
        empty, answer = frames
        return {"text": answer.decode()} if answer else {"empty": True}

    def ask(self, method, params=None, metadata=None):
        self.id += 1
        m = {"jsonrpc": "2.0", "id": self.id, "method": method}
        if params is not None:
            m["params"] = params
        if metadata is not None:
            m["metadata"] = metadata
        answer = self.raw(bus.compact(m))["text"]
        got = bus.json.loads(answer)
        if got.get("id") != self.id:
            raise ValueError("an answer to %d: %s" % (self.id, answer))
        return got, answer

    def call(self, method, params=None):
        got, answer = self.ask(method, params)
        return {"answer": answer, **{k: v for k, v in got.items() if k in ("result", "error")}}

    def invoke(self, method, params=None, handle=True, pause=0.02):
        """Asks, with the metadata of the first answer, until one has none."""
        got, answer = self.ask(method, params, {"async": handle})
        answers, metadata = [answer], got.get("metadata")
        while "metadata" in got:
            time.sleep(pause)
            got, answer = self.ask(method, None, metadata)
            answers.append(answer)
        return {"answers": answers, **{k: v for k, v in got.items() if k in ("result", "error")}}

    def actions(self):
        return {"raw": self.raw, "call": self.call, "invoke": self.invoke}


class Sub(Client):
    def __init__(self, port):
        super().__init__("SUB", port)

    def next(self, timeout=10):
        frames = self.receive(timeout)
        if frames is None:
            return {"timeout": True}
        if len(frames) != 2:
            raise ValueError("a publication has exactly two frames, not %d" % len(frames))
        return {"topic": frames[0].decode(), "text": frames[1].decode()}

    def actions(self):
        return {"next": self.next}


def main():
    role = sys.argv[1]
    if role == "rep":
        Rep("strict" in sys.argv[2:]).run()
    elif role == "pub":
        Pub().run()
    else:
        bus.obey({"req": Req, "sub": Sub}[role](int(sys.argv[2])).actions())


if __name__ == "__main__":
    main()
