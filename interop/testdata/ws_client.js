// Makes JSON-RPC calls by the WebSocket of Node, which is that of browsers, for the
// Go tests beside it. It does what ws_client.py does, and is told the same.
const tell = (event, what) => console.log(JSON.stringify({event, ...what}));
const input = require("readline").createInterface({input: process.stdin});
input.once("line", line => {
  input.close();
  process.stdin.destroy();
  run(JSON.parse(line));
});

function run(o) {
  const times = new Array(o.calls).fill(0);
  const wrong = [];
  const started = Date.now();
  let sent = 0, answered = 0;
  const ws = new WebSocket(o.url, o.protocols || []);

  function more() {
    for (; sent < o.calls && sent - answered < o.window; sent++) {
      ws.send(JSON.stringify({jsonrpc: "2.0", id: sent, method: "Enter", params: {n: sent}}));
    }
  }

  ws.onopen = more;
  ws.onerror = e => tell("failed", {why: String(e.message || e.error || e.type)});
  ws.onmessage = e => {
    const m = JSON.parse(e.data);
    if (m.method) {
      ws.send(JSON.stringify({jsonrpc: "2.0", id: m.id, result: 2 * m.params.n}));
      return;
    }
    answered++;
    times[m.id]++;
    if (m.result !== 7 * m.id) wrong.push(e.data);
    if (answered === o.calls) ws.close(1000, "done");
    more();
  };
  ws.onclose = e => {
    const those = k => times.flatMap((t, n) => (k(t) ? [n] : [])).slice(0, 20);
    if (!e.wasClean) return tell("failed", {why: "closed with " + e.code});
    tell("done", {answered, lost: those(t => t === 0), doubled: those(t => t > 1), wrong: wrong.slice(0, 20), seconds: (Date.now() - started) / 1000});
  };
}
