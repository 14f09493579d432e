"""OpenDaylight's WebSocket transport as it is on the wire, for the Go tests.

    odl_ws.py rep        answers; tells {"event": "listening", "port": N}
    odl_ws.py pub        sends what it publishes to everybody
    odl_ws.py req PORT   calls
    odl_ws.py sub PORT   hears

Commands come by stdin, see obey in bus.py. Version 13; one text frame is one message,
of at most 64 KiB. Frames that continue another and those of bytes are passed over. The
server takes any path, and no matter what is published every channel gets it.
"""
import base64
import hashlib
import os
import socket
import struct
import sys
import threading
import time

import bus
from odl_http import Reader, basic

MOST = 64 << 10
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def accept_of(key):
    return base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()


class Channel:
    """Frames of a connection after its handshake. A client masks what it sends."""

    def __init__(self, conn, reader, client, log):
        self.conn, self.reader, self.client, self.log = conn, reader, client, log
        self.writing = threading.Lock()

    def write(self, opcode, payload):
        n, mask = len(payload), 128 if self.client else 0
        head = bytes([128 | opcode])
        if n < 126:
            head += bytes([mask | n])
        elif n < 1 << 16:
            head += struct.pack(">BH", mask | 126, n)
        else:
            head += struct.pack(">BQ", mask | 127, n)
        if self.client:
            key = os.urandom(4)
            head += key
            payload = bytes(b ^ key[i % 4] for i, b in enumerate(payload))
        with self.writing:
            self.conn.sendall(head + payload)

    def send(self, text):
        self.write(TEXT, text.encode())

    def take(self, n):
        while len(self.reader.rest) < n:
            self.reader.more()
        got, self.reader.rest = self.reader.rest[:n], self.reader.rest[n:]
        return got

    def frame(self):
        flags, n = self.take(2)
        masked, n = n & 128, n & 127
        if n == 126:
            (n,) = struct.unpack(">H", self.take(2))
        elif n == 127:
            (n,) = struct.unpack(">Q", self.take(8))
        if flags & 0x70 or bool(masked) == self.client:
            raise bus.Closed("a frame with flags %#x, masked: %r" % (flags, bool(masked)))
        if n > MOST:
            raise bus.Closed("a frame of %d bytes" % n)
        key = self.take(4) if masked else None
        payload = self.take(n)
        if key:
            payload = bytes(b ^ key[i % 4] for i, b in enumerate(payload))
        return flags & 15, bool(flags & 128), payload

    def run(self, received):
        """Reads until the connection ends, and returns why."""
        try:
            while True:
                opcode, final, payload = self.frame()
                if opcode == TEXT:
                    received(payload.decode())
                elif opcode == PING:
                    self.log.note("ping")
                    self.write(PONG, payload)
                elif opcode == CLOSE:
                    self.write(CLOSE, payload)
                    return "closed: %s" % payload.hex()
                else:
                    self.log.note("passed over", opcode=opcode)
        except (bus.Closed, OSError) as e:
            return str(e)
        finally:
            self.conn.close()


class Server:
    def __init__(self, login):
        self.want = basic(*login) if login else None
        self.log, self.responder = bus.Log(), bus.Responder()
        self.channels, self.lock = [], threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))

    def run(self):
        threading.Thread(target=self.accept, daemon=True).start()
        bus.tell("listening", port=self.listener.getsockname()[1])
        bus.obey({"log": self.log.take, "publish": self.publish, "subscribers": self.subscribers, "frame": self.frame})

    def accept(self):
        while True:
            conn, _ = self.listener.accept()
            conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.attend, args=(conn,), daemon=True).start()

    def attend(self, conn):
        try:
            channel = self.shake(conn)
        except (bus.Closed, OSError) as e:
            self.log.note("closed", why=str(e))
            conn.close()
            return
        with self.lock:
            self.channels.append(channel)
        texts = bus.queue.Queue()
        worker = threading.Thread(target=self.work, args=(channel, texts), daemon=True)
        worker.start()
        why = channel.run(texts.put)
        texts.put(None)
        with self.lock:
            self.channels.remove(channel)
        self.log.note("closed", why=why)

    def shake(self, conn):
        reader = Reader(conn)
        line, fields = reader.head()
        self.log.note("handshake", line=line, fields=fields)
        if self.want and fields.get("authorization") != self.want:
            conn.sendall(b"HTTP/1.1 401 Unauthorized\r\ncontent-type: text/plain\r\ncontent-length: 12\r\n\r\nUnauthorized")
            raise bus.Closed("a wrong password")
        if fields.get("sec-websocket-version") != "13":
            raise bus.Closed("version %s" % fields.get("sec-websocket-version"))
        conn.sendall(
            (
                "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
                "sec-websocket-accept: %s\r\n\r\n" % accept_of(fields["sec-websocket-key"])
            ).encode()
        )
        return Channel(conn, reader, False, self.log)

    def work(self, channel, texts):
        while (text := texts.get()) is not None:
            self.log.note("text", text=text)
            try:
                self.responder.answer(text, channel.send)
            except (bus.Closed, OSError) as e:
                self.log.note("closes", why=str(e))
                try:
                    channel.conn.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                return

    def publish(self, text, topic=""):
        with self.lock:
            channels = list(self.channels)
        for channel in channels:
            channel.send(text)
        return {"sent": len(channels)}

    def frame(self, opcode, text):
        """Sends a frame of another kind to everybody."""
        for channel in list(self.channels):
            channel.write(opcode, text.encode())

    def subscribers(self, n, timeout=10):
        end = time.monotonic() + timeout
        while len(self.channels) < n:
            if time.monotonic() > end:
                raise TimeoutError("%d subscribers" % len(self.channels))
            time.sleep(0.005)


class Client:
    """A connection that is made again, a second after it was lost, for ever."""

    def __init__(self, port, login):
        self.port, self.log, self.inbox = port, bus.Log(), bus.Inbox()
        self.fields = "authorization: %s\r\n" % basic(*login) if login else ""
        self.channel, self.up = None, threading.Event()
        self.requester, self.read = bus.Requester(self), self.inbox.read
        threading.Thread(target=self.keep, daemon=True).start()

    def keep(self):
        while True:
            try:
                self.channel = self.shake()
                self.up.set()
                why = self.channel.run(lambda text: self.inbox.put(text or bus.Inbox.EMPTY))
            except (bus.Closed, OSError) as e:
                why = str(e)
            self.up.clear()
            self.log.note("closed", why=why)
            self.inbox.put(bus.Inbox.LOST)
            time.sleep(1)

    def shake(self):
        conn = socket.create_connection(("127.0.0.1", self.port))
        conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        key = base64.b64encode(os.urandom(16)).decode()
        conn.sendall(
            (
                "GET / HTTP/1.1\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-key: %s\r\n"
                "host: 127.0.0.1:%d\r\norigin: http://127.0.0.1:%d\r\n%ssec-websocket-version: 13\r\n\r\n"
                % (key, self.port, self.port, self.fields)
            ).encode()
        )
        reader = Reader(conn)
        line, fields = reader.head()
        self.log.note("handshake", line=line, fields=fields)
        if " 101 " not in line or fields.get("sec-websocket-accept") != accept_of(key):
            conn.close()
            raise bus.Closed("no handshake: %s" % line)
        return Channel(conn, reader, True, self.log)

    def ready(self, timeout=10):
        if not self.up.wait(timeout):
            raise TimeoutError("Transport not ready")

    def send(self, text):
        self.ready()
        self.channel.send(text)

    def raw(self, text, timeout=10):
        self.send(text)
        return self.inbox.peek(timeout)

    def next(self, timeout=10):
        return self.inbox.peek(timeout)

    def actions(self):
        return {
            "ready": self.ready,
            "log": self.log.take,
            "raw": self.raw,
            "next": self.next,
            "more": lambda timeout=0.2: self.inbox.peek(timeout),
            "call": self.requester.call,
            "invoke": self.requester.invoke,
        }


def main():
    if sys.argv[1] in ("rep", "pub"):
        Server(sys.argv[2:4]).run()
        return
    bus.obey(Client(int(sys.argv[2]), sys.argv[3:5]).actions())


if __name__ == "__main__":
    main()
