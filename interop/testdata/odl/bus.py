"""The message layer of OpenDaylight's JSON-RPC bus, for the programs beside it.

What is here does as the Java classes do, faults included: a batch is answered by
one message for each element, notifications are answered by an error, ids of answers
are not looked at. It is for tests; nothing here is an example to follow.
"""
import json
import queue
import sys
import threading
import time
import uuid

_stdout = threading.Lock()


def tell(event, **what):
    """Writes an event, a line of JSON, to stdout."""
    with _stdout:
        print(json.dumps({"event": event, **what}), flush=True)


def obey(actions):
    """Does what the lines of stdin say, {"do": NAME, …}, and tells what came of it."""
    for line in sys.stdin:
        command = json.loads(line)
        action = actions[command.pop("do")]
        try:
            told = action(**command) or {}
        except Exception as e:  # the test wants to see it
            told = {"exception": "%s: %s" % (type(e).__name__, e)}
        tell("done", **told)


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


class Closed(Exception):
    """What came, or did not come, is a reason to close the connection."""


class Log:
    """Notes what came, for the test to ask for."""

    def __init__(self):
        self.lock, self.all = threading.Lock(), []

    def note(self, what, **more):
        with self.lock:
            self.all.append({"what": what, **more})

    def take(self):
        """The notes since the last time."""
        with self.lock:
            all, self.all = self.all, []
        return {"log": all}


# Messages

REQUEST, NOTIFICATION, REPLY, PARSE_ERROR = "REQUEST", "NOTIFICATION", "REPLY", "PARSE_ERROR"


def classify(element):
    """Returns which of the four an element is. The parser throws at what is no object."""
    if not isinstance(element, dict):
        raise Closed("the parser threw at %s" % compact(element))
    if "metadata" in element and not isinstance(element["metadata"], dict):
        raise Closed("the parser threw at metadata that is no object")
    version = element.get("jsonrpc")
    if isinstance(version, bool) or version not in ("2.0", "2", 2):
        return PARSE_ERROR
    if "method" in element:
        if isinstance(element["method"], (dict, list)):
            raise Closed("the parser threw at a method that is no text")
        if "result" in element:
            return PARSE_ERROR
        return REQUEST if "id" in element else NOTIFICATION
    if ("result" in element) == ("error" in element):
        return PARSE_ERROR
    return REPLY


def messages(text):
    """Returns kinds and elements of a text; broken JSON is one PARSE_ERROR."""
    try:
        parsed = json.loads(text)
    except ValueError:
        return [(PARSE_ERROR, None)]
    elements = parsed if isinstance(parsed, list) else [parsed]
    return [(classify(e), e) for e in elements]


def reply(id, result, metadata=None):
    m = {"jsonrpc": "2.0", "id": id, "result": result}
    if metadata is not None:
        m["metadata"] = metadata
    return compact(m)


def failure(id, code, text, data=None):
    return compact({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": text, "data": data}})


# The responder


class Responder:
    """Answers texts as the reflective responder of the bus, one after the other."""

    def __init__(self):
        self.polls = {}  # of factorial, by handle
        self.lock = threading.Lock()
        self.executed = []
        self.handlers = {
            "add": {2: lambda a, b: a + b},
            "echo": {1: lambda x: x},
            "sleep": {1: self.sleep},
            "nothing": {0: lambda: None},
            "fail": {0: self.fail, 1: self.fail},
        }

    def sleep(self, ms):
        time.sleep(ms / 1000)
        return "slept %d" % ms

    def fail(self, text=""):
        raise RuntimeError(text)

    def answer(self, text, send):
        """Sends a text for each request, until something else comes. Of [] and an
        empty text nothing comes."""
        if text == "":
            return
        for kind, m in messages(text):
            if kind != REQUEST:
                send(failure(None, -32600, "Unexpected message type : " + kind))
                return
            send(self.one(m))

    def one(self, m):
        name = str(m["method"])
        with self.lock:
            self.executed.append(name)
        raw = getattr(self, "raw_" + name, None)
        if raw is not None:
            return raw(m)
        candidates = self.handlers.get(match(name, self.handlers))
        if candidates is None:
            return failure(m["id"], -32601, "No such method : " + name)
        args = arguments(m)
        handler = candidates.get(len(args))
        if handler is None:
            return failure(m["id"], -32602, "No such method with %d parameters : %s" % (len(args), name))
        try:
            return reply(m["id"], handler(*args))
        except TypeError as e:
            return failure(m["id"], -32602, str(e))
        except Exception as e:
            return failure(m["id"], -32000, str(e) or "Internal error")

    def raw_metadata(self, m):
        """A raw handler that gives metadata back."""
        return reply(m["id"], "with metadata", m.get("metadata"))

    def raw_silent(self, m):
        """A raw handler that sets nothing."""
        return reply(m["id"], {})

    def raw_unparsed(self, m):
        """Answers as if the request could not be parsed."""
        return failure(None, -32600, "Unexpected message type : " + PARSE_ERROR)

    def raw_endless(self, m):
        """Acknowledges for ever."""
        return reply(m["id"], None, {"async": m["metadata"]["async"]})

    def raw_factorial(self, m):
        """The server of the test of the asynchronous extension: five polls."""
        handle = (m.get("metadata") or {}).get("async")
        if handle is None:
            return reply(m["id"], {"out-number": factorial(m["params"]["in-number"])})
        with self.lock:
            left, n = self.polls.pop(handle, None) or (5, m["params"]["in-number"])
            if left > 0:
                self.polls[handle] = (left - 1, n)
                return reply(m["id"], None, {"async": handle})
        return reply(m["id"], {"out-number": factorial(n)})


def factorial(n):
    return 1 if n < 2 else n * factorial(n - 1)


def match(name, handlers):
    """Finds a handler without regard to case, and to - and . in the name."""
    underscored = name.replace("-", "_").replace(".", "_").lower()
    for h in handlers:
        if h.lower() in (underscored, underscored.replace("_", "")):
            return h
    return None


def arguments(m):
    """An array is as many arguments as it has elements; anything else is one."""
    if "params" not in m:
        return []
    return m["params"] if isinstance(m["params"], list) else [m["params"]]


# The requester


class Requester:
    """Calls as a proxy of the bus does. Its transport has send(text), which replaces
    whatever was under way, and a queue of all that came: the next in it is taken for
    the answer."""

    def __init__(self, transport):
        self.transport, self.id = transport, 0

    def text(self, method, args=None, metadata=None, params=True):
        self.id += 1
        m = {"jsonrpc": "2.0", "id": self.id, "method": method}
        if params and args:
            m["params"] = args[0] if len(args) == 1 else args
        if metadata is not None:
            m["metadata"] = metadata
        return compact(m)

    def exchange(self, text, timeout):
        self.transport.send(text)
        answer = self.transport.read(timeout)
        got = messages(answer)
        if len(got) != 1:
            raise ValueError("Expected exactly one message, got %d: %s" % (len(got), answer))
        kind, m = got[0]
        if kind != REPLY:
            raise ValueError("Unexpected message type : %s: %s" % (kind, answer))
        return m, answer

    def call(self, method, args=(), timeout=30, metadata=None):
        """The result, or the text of an exception."""
        text = self.text(method, list(args), metadata)
        m, answer = self.exchange(text, timeout)
        told = {"sent": text, "answer": answer}
        if "error" in m:
            told["exception"] = "[code=%s] %s" % (m["error"].get("code"), m["error"].get("message"))
        else:
            told["result"] = m["result"]
        return told

    def invoke(self, method, args=(), timeout=30):
        """A call by the asynchronous extension, as it was from 2017 to 2020: a new
        UUID in every call; while it is acknowledged the method is asked for again
        at once, without params."""
        mine, answers, sent = str(uuid.uuid4()), [], []

        def exchange(*a, **b):
            sent.append(self.text(*a, **b))
            m, answer = self.exchange(sent[-1], timeout)
            answers.append(answer)
            return m

        m = exchange(method, list(args), {"async": mine})
        if "metadata" in m and "error" not in m:
            if "async" not in m["metadata"]:
                raise RuntimeError("metadata without async: get() hangs")
            handle = str(uuid.UUID(m["metadata"]["async"]))
            while True:
                m = exchange(method, None, {"async": handle}, params=False)
                if "error" in m or m.get("result") is not None or "metadata" not in m:
                    break
        told = {"sent": sent, "answers": answers, "handle": mine}
        if "error" in m:
            told["exception"] = "[code=%s] %s" % (m["error"].get("code"), m["error"].get("message"))
        else:
            told["result"] = m["result"]
        return told


class Inbox:
    """The unbounded queue of what has come to a requester."""

    EMPTY, LOST = object(), object()

    def __init__(self):
        self.q = queue.Queue()

    def put(self, text):
        self.q.put(text)

    def read(self, timeout):
        """The next text. Empty messages are passed over; of a connection that is
        lost nobody is told: the caller sits out its time."""
        end = time.monotonic() + timeout
        while True:
            try:
                got = self.q.get(timeout=max(0.001, end - time.monotonic()))
            except queue.Empty:
                raise TimeoutError("no answer within %g s" % timeout)
            if isinstance(got, str):
                return got

    def peek(self, timeout=10):
        """What came next, for raw exchanges."""
        try:
            got = self.q.get(timeout=timeout)
        except queue.Empty:
            return {"timeout": True}
        if got is Inbox.EMPTY:
            return {"empty": True}
        if got is Inbox.LOST:
            return {"closed": True}
        return {"text": got}
