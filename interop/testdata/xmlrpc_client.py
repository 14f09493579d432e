"""Calls a server by Python's xmlrpc.client, for the Go tests beside it.

Reads one JSON object from the first line of stdin:

    url     where to
    calls   how many calls of Enter to make, one after the other

Writes {"event": "done", "answered": N, "seconds": S, "wrong": [...]} to stdout,
where wrong says in words what was not as it should be.
"""
import datetime
import json
import sys
import time
import xmlrpc.client

wrong = []


def expect(what, got, want):
    if got != want or type(got) is not type(want):
        wrong.append("%s: %r, want %r" % (what, got, want))


def expect_fault(what, code, word, call):
    try:
        wrong.append("%s: %r, want a fault" % (what, call()))
    except xmlrpc.client.Fault as fault:
        if fault.faultCode != code or word not in fault.faultString:
            wrong.append("%s: %r, want %d and %r" % (what, fault, code, word))


def check_values(server):
    for v in [0, 42, -1, 2**31 - 1, -2**31, True, False, 1.5, 6.0, -0.25, 1e100, 5e-324, "", " a ", "é <&> ]]> \"'\n\t",
              "\U0001f600", [], [1, [2, []]], {}, {"a": {"b c": None, "": [1.0]}}, None]:
        expect("Echo of %r" % (v,), server.Echo(v), [v])
    expect("Echo of many", server.Echo(1, "a", None), [1, "a", None])
    # What JSON has no type for arrives as text; a server says by tags that it means the type.
    when = datetime.datetime(1998, 7, 17, 14, 8, 55)
    expect("Echo of bytes", server.Echo(b"\0\xff"), ["AP8="])
    expect("Echo of a time", server.Echo(when), ["1998-07-17T14:08:55Z"])
    expect("Typed", server.Typed(b"\0\xff" * 1000, when), {"bytes": b"\0\xff" * 1000, "time": when, "large": 2**40})


def check_rest(server):
    expect("Math.Sum", server.Math.Sum(1, 2, 3), 6)
    expect("Math.Sum of none", server.Math.Sum(), 0)
    expect_fault("a method that there is not", -32601, "Nothing", lambda: server.Nothing(1))
    expect_fault("wrong params", -32602, "", lambda: server.Math.Sum("a"))
    expect_fault("an error of the handler", 42, 'no <way>: {"a":1}', lambda: server.Fail())
    many = xmlrpc.client.MultiCall(server)
    many.Math.Sum(1, 2)
    many.Nothing()
    many.Echo("a")
    answers = many()
    expect("the first of many", answers[0], 3)
    expect_fault("the second of many", -32601, "Nothing", lambda: answers[1])
    expect("the third of many", answers[2], ["a"])
    expect("methods", "Math.Sum" in server.system.listMethods(), True)
    expect("params by name", server.Enter({"$params": {"n": 0}}), 0)


def main():
    o = json.loads(sys.stdin.readline())
    with xmlrpc.client.ServerProxy(o["url"], allow_none=True, use_builtin_types=True) as server:
        check_values(server)
        check_rest(server)
        start = time.monotonic()
        answered = 0
        for n in range(1, o["calls"]):
            if server.Enter(n) == 7 * n:
                answered += 1
        seconds = time.monotonic() - start
    print(json.dumps({"event": "done", "answered": answered + 1, "seconds": seconds, "wrong": wrong}), flush=True)


try:
    main()
except Exception as e:
    print(json.dumps({"event": "failed", "why": repr(e)[:2000]}), flush=True)
