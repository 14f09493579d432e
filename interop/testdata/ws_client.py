"""Makes JSON-RPC calls by Python's websockets, for the Go tests beside it, and
answers those that the server makes: Twice takes {"n": N}, and its result is 2*N.

Reads one JSON object from the first line of stdin:

    url      of a server
    calls    N goes from 0 to calls-1: the method Enter takes {"n": N}, its result is 7*N
    window   calls under way at once
    protocols   sub-protocols to offer, or absent

Writes JSON objects to stdout, one a line: each has "event". The last is done
(with answered, lost, doubled, wrong, seconds), or failed (with why).
"""
import asyncio
import json
import sys
import time

import websockets


def tell(event, **what):
    print(json.dumps({"event": event, **what}), flush=True)


async def main(o):
    times, wrong = [0] * o["calls"], []
    started = time.monotonic()
    async with websockets.connect(o["url"], subprotocols=o.get("protocols")) as ws:
        async def call(n):
            await ws.send(json.dumps({"jsonrpc": "2.0", "id": n, "method": "Enter", "params": {"n": n}}))

        sent = answered = 0
        while answered < o["calls"]:
            while sent < o["calls"] and sent - answered < o["window"]:
                await call(sent)
                sent += 1
            m = json.loads(await asyncio.wait_for(ws.recv(), 20))
            if "method" in m:
                await ws.send(json.dumps({"jsonrpc": "2.0", "id": m["id"], "result": 2 * m["params"]["n"]}))
                continue
            answered += 1
            times[m["id"]] += 1
            if m.get("result") != 7 * m["id"]:
                wrong.append(json.dumps(m))
    tell("done", answered=answered, lost=[n for n, k in enumerate(times) if k == 0][:20],
         doubled=[n for n, k in enumerate(times) if k > 1][:20], wrong=wrong[:20], seconds=time.monotonic() - started)


try:
    asyncio.run(main(json.loads(sys.stdin.readline())))
except BaseException as e:
    tell("failed", why=repr(e))
