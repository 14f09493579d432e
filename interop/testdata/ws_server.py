"""Answers JSON-RPC calls by Python's websockets, for the Go tests beside it: Enter
takes {"n": N}, and its result is 7*N. Before it answers each hundredth it calls
Twice, with the same params, and checks that the result is 2*N.

Reads one JSON object from the first line of stdin, with nothing in it. Writes JSON
objects to stdout, one a line, each with "event": listening (with port), and
failed (with why).
"""
import asyncio
import json
import sys

import websockets


def tell(event, **what):
    print(json.dumps({"event": event, **what}), flush=True)


async def serve(ws):
    waiting = {}
    async for text in ws:
        m = json.loads(text)
        if "method" not in m:
            asked = waiting.pop(m["id"])
            if m.get("result") != 2 * asked["params"]["n"]:
                tell("failed", why=text)
            await answer(ws, asked)
        elif m["params"]["n"] % 100 == 0:
            waiting["back%d" % m["params"]["n"]] = m
            await ws.send(json.dumps({"jsonrpc": "2.0", "id": "back%d" % m["params"]["n"], "method": "Twice", "params": m["params"]}))
        else:
            await answer(ws, m)


async def answer(ws, m):
    await ws.send(json.dumps({"jsonrpc": "2.0", "id": m["id"], "result": 7 * m["params"]["n"]}))


async def main():
    async with websockets.serve(serve, "127.0.0.1", 0) as server:
        tell("listening", port=server.sockets[0].getsockname()[1])
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


try:
    sys.stdin.readline()
    asyncio.run(main())
except BaseException as e:
    tell("failed", why=repr(e))
