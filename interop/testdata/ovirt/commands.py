"""How a Go test drives the programs of this directory.

Each reads JSON objects from stdin, one a line. The first holds its options; each
of the others a command ("do") and its arguments, and is answered by one line of
JSON on stdout: what it found out, or {"failed": WHY}. The program ends when stdin
does.
"""
import json
import os
import sys
import traceback


def options():
    """Returns the first line."""
    return json.loads(sys.stdin.readline())


def answer(**what):
    print(json.dumps(what), flush=True)


def serve(commands):
    """Answers commands, which are functions by name, until stdin ends."""
    for line in sys.stdin:
        args = json.loads(line)
        try:
            answer(**(commands[args.pop("do")](**args) or {}))
        except Exception as e:  # the test prints the traceback, too
            traceback.print_exc()
            answer(failed=repr(e))
    sys.stdout.flush()
    os._exit(0)  # whatever threads are at
