"""Measures what calls cost in Python, as JSON-RPC by json and as XML-RPC by
xmlrpc.client: to write the request and read it, to write the answer and read it.

Reads {"seconds": S, "calls": [{"method": …, "params": […], "result": …}, …]} from
stdin and writes [[json, xml], …] to stdout, in seconds for each call.
"""
import json
import sys
import time
import xmlrpc.client


def by_json(c):
    json.loads(json.dumps({"jsonrpc": "2.0", "method": c["method"], "params": c["params"], "id": 1}))
    json.loads(json.dumps({"jsonrpc": "2.0", "result": c["result"], "id": 1}))


def by_xml(c):
    xmlrpc.client.loads(xmlrpc.client.dumps(tuple(c["params"]), c["method"]))
    xmlrpc.client.loads(xmlrpc.client.dumps((c["result"],), methodresponse=True))


def measure(f, c, seconds):
    n, begin = 0, time.process_time()
    while time.process_time() - begin < seconds:
        f(c)
        n += 1
    return (time.process_time() - begin) / n


o = json.load(sys.stdin)
print(json.dumps([[measure(f, c, o["seconds"]) for f in (by_json, by_xml)] for c in o["calls"]]))
