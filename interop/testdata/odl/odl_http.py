"""OpenDaylight's HTTP transport as it is on the wire, for the Go tests.

    odl_http.py server [USER PASSWORD]       answers; tells {"event": "listening", "port": N}
    odl_http.py client PORT [USER PASSWORD]  calls

Commands come by stdin, see obey in bus.py.

* The client posts to / over one connection, one request at a time, without a Host,
  and takes the body of whatever comes for the answer, up to 256 KiB.
* The server looks at no method, path nor content type, answers everything by 200,
  and a batch by one response for each element: two responses to one request. [] gets
  none. It does not mind Connection: close. Over 256 KiB is 413. The password is
  looked at in the first request of a connection; a wrong one gets 401, a text, and
  the end.
"""
import base64
import socket
import sys
import threading

import bus

MOST = 256 << 10


class Reader:
    """Heads and bodies of one direction of a connection."""

    def __init__(self, conn):
        self.conn, self.rest = conn, b""

    def more(self):
        chunk = self.conn.recv(65536)
        if not chunk:
            raise bus.Closed("the peer closed")
        self.rest += chunk

    def head(self):
        while b"\r\n\r\n" not in self.rest:
            self.more()
        head, self.rest = self.rest.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        fields = [line.split(":", 1) for line in lines[1:]]
        return lines[0], {name.lower(): value.strip() for name, value in fields}

    def body(self, n):
        while len(self.rest) < n:
            self.more()
        body, self.rest = self.rest[:n], self.rest[n:]
        return body.decode()

    def all(self):
        """What comes until the connection ends."""
        try:
            while len(self.rest) <= MOST:
                self.more()
        except bus.Closed:
            pass
        body, self.rest = self.rest, b""
        return body.decode()


def basic(user, password):
    return "Basic " + base64.b64encode(("%s:%s" % (user, password)).encode()).decode()


class Server:
    def __init__(self, login):
        self.want = basic(*login) if login else None
        self.responder, self.log = bus.Responder(), bus.Log()
        self.listener = socket.create_server(("127.0.0.1", 0))

    def run(self):
        threading.Thread(target=self.accept, daemon=True).start()
        bus.tell("listening", port=self.listener.getsockname()[1])
        bus.obey({"log": self.log.take, "executed": lambda: {"executed": self.responder.executed}})

    def accept(self):
        while True:
            conn, _ = self.listener.accept()
            conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.attend, args=(conn,), daemon=True).start()

    def attend(self, conn):
        try:
            self.serve(conn)
            why = "done"
        except (bus.Closed, OSError) as e:
            why = str(e)
        conn.close()
        self.log.note("closed", why=why)

    def serve(self, conn):
        reader, first = Reader(conn), True

        def respond(text, status="200 OK", kind="application/json"):
            body = text.encode()
            conn.sendall(
                (
                    "HTTP/1.1 %s\r\ncontent-type: %s\r\nserver: JSON-RPC 2.0 server\r\n"
                    "content-length: %d\r\n\r\n" % (status, kind, len(body))
                ).encode()
                + body
            )

        while True:
            line, fields = reader.head()
            length = int(fields.get("content-length", 0))
            if length > MOST:
                conn.sendall(b"HTTP/1.1 413 Request Entity Too Large\r\ncontent-length: 0\r\n\r\n")
                raise bus.Closed("a body of %d bytes" % length)
            text = reader.body(length)
            self.log.note("request", line=line, fields=fields, text=text)
            if first and self.want and fields.get("authorization") != self.want:
                respond("Unauthorized", "401 Unauthorized", "text/plain")
                raise bus.Closed("a wrong password")
            first = False
            if text == "":  # as a GET has it
                respond(bus.failure(None, -32600, "Unexpected message type : " + bus.PARSE_ERROR))
                continue
            self.responder.answer(text, respond)


class Client:
    def __init__(self, port, login):
        self.port, self.conn, self.log = port, None, bus.Log()
        self.fields = "authorization: %s\r\n" % basic(*login) if login else ""
        self.requester, self.inbox = bus.Requester(self), bus.Inbox()
        self.read = self.inbox.read

    def connect(self):
        self.conn = socket.create_connection(("127.0.0.1", self.port))
        self.conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.log.note("connected")
        threading.Thread(target=self.receive, args=(self.conn,), daemon=True).start()

    def receive(self, conn):
        reader = Reader(conn)
        try:
            while True:
                line, fields = reader.head()
                status = int(line.split()[1])
                if "content-length" in fields or status in (204, 304):
                    length = int(fields.get("content-length", 0))
                    if length > MOST:
                        raise bus.Closed("a body of %d bytes" % length)
                    text = reader.body(length)
                else:
                    text = reader.all()
                self.log.note("response", status=status, fields=fields, text=text)
                self.inbox.put(text or bus.Inbox.EMPTY)
        except (bus.Closed, OSError) as e:
            self.log.note("closed", why="%s: %s" % (type(e).__name__, e))
        conn.close()
        self.conn = None
        self.inbox.put(bus.Inbox.LOST)

    def send(self, text):
        if self.conn is None:
            self.connect()
        body = text.encode()
        self.conn.sendall(
            (
                "POST / HTTP/1.1\r\ncontent-type: application/json\r\naccept: application/json\r\n"
                "user-agent: JSON-RPC 2.0 client\r\nconnection: keep-alive\r\n%s"
                "content-length: %d\r\n\r\n" % (self.fields, len(body))
            ).encode()
            + body
        )

    def raw(self, text, timeout=10):
        self.send(text)
        return self.inbox.peek(timeout)

    def actions(self):
        return {
            "log": self.log.take,
            "raw": self.raw,
            "more": lambda timeout=0.2: self.inbox.peek(timeout),
            "call": self.requester.call,
            "invoke": self.requester.invoke,
        }


def main():
    if sys.argv[1] == "server":
        Server(sys.argv[2:4]).run()
        return
    bus.obey(Client(int(sys.argv[2]), sys.argv[3:5]).actions())


if __name__ == "__main__":
    main()
