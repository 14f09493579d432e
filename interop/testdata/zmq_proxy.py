"""Is a device of libzmq, zmq_proxy between ROUTER and DEALER, for the Go tests
beside it.

Reads one JSON object from the first line of stdin:

    connect     the endpoint of a server to pass calls on to; without it workers
                may connect to the device

Writes {"event": "listening", "port": N, "workers": N} to stdout: the ports for
clients and for workers. It ends when stdin does.
"""
import json
import sys
import threading

import zmq


def tell(event, **what):
    print(json.dumps({"event": event, **what}), flush=True)


def port_of(s):
    return int(s.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0").decode().rsplit(":", 1)[1])


def main():
    o = json.loads(sys.stdin.readline())
    context = zmq.Context()
    front, back = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
    front.linger = back.linger = 0
    front.bind("tcp://127.0.0.1:*")
    workers = 0
    if o.get("connect"):
        back.connect(o["connect"])
    else:
        back.bind("tcp://127.0.0.1:*")
        workers = port_of(back)
    tell("listening", port=port_of(front), workers=workers)
    control = context.socket(zmq.PAIR)
    control.bind("inproc://control")
    device = threading.Thread(target=run, args=(context, front, back))
    device.start()
    sys.stdin.read()
    control.send(b"TERMINATE")
    device.join()
    context.destroy(linger=0)


def run(context, front, back):
    control = context.socket(zmq.PAIR)
    control.connect("inproc://control")
    zmq.proxy_steerable(front, back, None, control)


try:
    main()
except Exception as e:  # the test prints the traceback, too
    tell("failed", why=repr(e))
    raise
