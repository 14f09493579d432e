"""Makes JSON-RPC calls by way of stomp.py, for the Go tests beside it.

Reads one JSON object from stdin:

    port        of a server on 127.0.0.1
    version     "1.0", "1.1" or "1.2"
    login, passcode   credentials, or absent
    ca          path of the certificates to trust; makes it TLS
    heartbeats  [ms out, ms in]; not for 1.0
    reply_to    the destination for answers
    ack         "auto", "client" or "client-individual", or null for no SUBSCRIBE
    idle        seconds of silence before the calls
    receipts    ask for a receipt for each SEND
    calls       a list of JSON texts to send

Writes JSON objects to stdout, one a line, each with "event": connected, answer
(with body, headers and ms), receipt, error (an ERROR frame), failed (stomp.py
gave up), disconnected (by our wish), lost (not by our wish).
"""
import json
import queue
import sys
import threading
import time

import stomp


class Listener(stomp.ConnectionListener):
    def __init__(self):
        self.answers = queue.Queue()
        self.receipts = queue.Queue()
        self.leaving = False

    def on_connected(self, frame):
        tell("connected", headers=frame.headers)

    def on_message(self, frame):
        self.answers.put(frame)

    def on_receipt(self, frame):
        self.receipts.put(frame.headers["receipt-id"])

    def on_error(self, frame):
        tell("error", headers=frame.headers, body=frame.body)

    def on_disconnected(self):
        tell("disconnected" if self.leaving else "lost")

    def on_heartbeat_timeout(self):
        tell("failed", why="heart-beat timeout")


telling = threading.Lock()  # stomp.py calls listeners from threads of its own


def tell(event, **what):
    with telling:
        print(json.dumps({"event": event, **what}), flush=True)


def connect(o, listener):
    kind = {"1.0": stomp.Connection10, "1.1": stomp.Connection11, "1.2": stomp.Connection12}[o["version"]]
    options = {"reconnect_attempts_max": 1}
    if o.get("heartbeats"):
        options["heartbeats"] = tuple(o["heartbeats"])
    conn = kind([("127.0.0.1", o["port"])], **options)
    if o.get("ca"):
        conn.set_ssl([("127.0.0.1", o["port"])], ca_certs=o["ca"])
    conn.set_listener("test", listener)
    conn.connect(o.get("login"), o.get("passcode"), wait=True)
    return conn


def call(conn, listener, o, number, text):
    headers = {"reply-to": o["reply_to"], "correlation-id": str(number)}
    if o.get("receipts"):
        headers["receipt"] = "send-%d" % number
    start = time.monotonic()
    conn.send("/queue/rpc", text, content_type="application/json", headers=headers)
    answer = listener.answers.get(timeout=10)
    tell("answer", body=answer.body, headers=answer.headers, ms=1000 * (time.monotonic() - start))
    if o.get("receipts"):
        tell("receipt", id=listener.receipts.get(timeout=10))
    acknowledge(conn, o, answer)


def acknowledge(conn, o, answer):
    if o.get("ack") not in ("client", "client-individual"):
        return
    if o["version"] == "1.0":
        conn.ack(answer.headers["message-id"])
    elif o["version"] == "1.1":
        conn.ack(answer.headers["message-id"], "answers")
    else:
        conn.ack(answer.headers["ack"])


def main():
    o = json.load(sys.stdin)
    listener = Listener()
    try:
        conn = connect(o, listener)
    except stomp.exception.ConnectFailedException:
        tell("failed", why="connect")
        return
    if o.get("ack"):
        conn.subscribe(o["reply_to"], id="answers", ack=o["ack"])
    time.sleep(o.get("idle", 0))
    for number, text in enumerate(o["calls"]):
        call(conn, listener, o, number, text)
    listener.leaving = True
    conn.disconnect(receipt="bye")
    tell("receipt", id=listener.receipts.get(timeout=10))


main()
