"""Publishes or subscribes by a socket of libzmq, for the Go tests beside it.

Reads one JSON object from the first line of stdin:

    socket      "SUB", "XSUB", "PUB" or "XPUB"
    endpoint    to connect to, for SUB and XSUB
    topics      prefixes to subscribe to; a publisher sends by each in turn
    events      how many a publisher sends
    single      a publisher sends one frame, which the topic begins
    rpc         a publisher sends notifications of JSON-RPC

An event's body is {"n": N}, with N from 0 in steps of 1 over all topics, or has
that as its params.

A subscriber takes what comes, notifications of JSON-RPC, until the topic "end", and tells each number in
{"event": "done", "numbers": {TOPIC: [N…]}, "seconds": …}. When its second line
of stdin comes, it unsubscribes from its first topic, and says "unsubscribed".

A publisher tells {"event": "listening", "port": N}, publishes "probe" until the
second line of stdin, then the events, then "end", and tells done. An XPUB tells
{"event": "subscribed" or "unsubscribed", "topic": …} as it comes.
"""
import json
import sys
import time

import zmq


def tell(event, **what):
    print(json.dumps({"event": event, **what}), flush=True)


def subscribe(s, o, topic, on):
    if o["socket"] == "XSUB":
        s.send((b"\x01" if on else b"\x00") + topic.encode())
    else:
        s.setsockopt(zmq.SUBSCRIBE if on else zmq.UNSUBSCRIBE, topic.encode())


def listen(context, o):
    s = context.socket(getattr(zmq, o["socket"]))
    s.rcvhwm = 0
    s.connect(o["endpoint"])
    for topic in o["topics"] + ["end"]:
        subscribe(s, o, topic, True)
    poller = zmq.Poller()
    poller.register(s, zmq.POLLIN)
    poller.register(sys.stdin, zmq.POLLIN)
    tell("listening")
    numbers, start = {}, None
    while True:
        ready = dict(poller.poll())
        if sys.stdin.fileno() in ready:
            if not sys.stdin.readline():
                return
            subscribe(s, o, o["topics"][0], False)
            tell("unsubscribed")
        if s not in ready:
            continue
        frames = s.recv_multipart()
        start = start or time.monotonic()
        topic, body = frames[0].decode(), frames[-1]
        if topic == "end":
            break
        if len(frames) != 2:
            raise ValueError("an event has %d frames: %r" % (len(frames), frames))
        numbers.setdefault(topic, []).append(json.loads(body)["params"]["n"])
    tell("done", numbers=numbers, seconds=time.monotonic() - start)
    sys.stdin.readline()


def publish(s, o, topic, n):
    body = b'{"n":%d}' % n
    if o.get("rpc"):
        body = b'{"jsonrpc":"2.0","method":"%s","params":%s}' % (topic.encode(), body)
    if o.get("single"):
        s.send(topic.encode() + body)
    else:
        s.send_multipart([topic.encode(), body])


def broadcast(context, o):
    s = context.socket(getattr(zmq, o["socket"]))
    s.sndhwm = 0
    s.bind("tcp://127.0.0.1:*")
    tell("listening", port=int(s.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0").decode().rsplit(":", 1)[1]))
    poller = zmq.Poller()
    poller.register(sys.stdin, zmq.POLLIN)
    if o["socket"] == "XPUB":
        poller.register(s, zmq.POLLIN)
    while True:
        ready = dict(poller.poll(10))
        if s in ready:
            heed(s)
        if sys.stdin.fileno() in ready:
            break
        publish(s, o, "probe", -1)
    sys.stdin.readline()
    start = time.monotonic()
    for n in range(o["events"]):
        publish(s, o, o["topics"][n % len(o["topics"])], n)
    publish(s, o, "end", o["events"])
    tell("done", seconds=time.monotonic() - start)
    while sys.stdin.fileno() not in dict(poller.poll()):
        heed(s)
    sys.stdin.readline()


def heed(s):
    change = s.recv()
    tell("subscribed" if change[0] == 1 else "unsubscribed", topic=change[1:].decode())


def main():
    o = json.loads(sys.stdin.readline())
    context = zmq.Context()
    if o["socket"] in ("SUB", "XSUB"):
        listen(context, o)
    else:
        broadcast(context, o)
    context.destroy(linger=0)


try:
    main()
except Exception as e:  # the test prints the traceback, too
    tell("failed", why=repr(e))
    raise
