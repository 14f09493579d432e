package interop_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/polyport/polyport/interop/broker"
)

// A finding is what became of messages in one case.
type finding struct {
	Case    string `json:"case"`
	Finding string `json:"finding"`
}

// tableColumns are the brokers of the tables in docs/broker.md.
var tableColumns = map[string][]string{
	"stomp.py":    {"polyport", "RabbitMQ 3.10", "RabbitMQ 4.0", "ActiveMQ 5.17"},
	"Qpid Proton": {"polyport", "RabbitMQ 3.10", "RabbitMQ 4.0", "Proton's broker"},
}

// columnOf is what the tables call a broker.
var columnOf = map[broker.Kind]string{
	broker.RabbitMQ3: "RabbitMQ 3.10", broker.RabbitMQ4: "RabbitMQ 4.0", broker.ActiveMQ: "ActiveMQ 5.17", broker.Proton: "Proton's broker",
}

// TestBrokerTable runs two programs, written with unmodified stomp.py and Qpid
// Proton, against each broker, polyport's own among them. They are given the
// broker's URL and nothing else, and the tables in docs/broker.md are what they
// find. POLYPORT_UPDATE=1 writes the columns of the brokers that are there anew.
func TestBrokerTable(t *testing.T) {
	for _, table := range []struct {
		name, scheme string
		need         func(*testing.T)
		each         func(*testing.T, func(*testing.T, *broker.Broker))
		url          func(*broker.Broker) string
	}{
		{"stomp.py", "stomp", needStompPy, broker.Each, func(b *broker.Broker) string { return b.URL }},
		{"Qpid Proton", "amqp", needProton, broker.EachAMQP, func(b *broker.Broker) string { return b.AMQPURL }},
	} {
		t.Run(table.name, func(t *testing.T) {
			table.need(t)
			t.Run("polyport", func(t *testing.T) {
				t.Parallel()
				tabulate(t, table.name, "polyport", table.scheme+"://"+startBroker(t))
			})
			table.each(t, func(t *testing.T, b *broker.Broker) {
				t.Parallel()
				tabulate(t, table.name, columnOf[b.Kind], table.url(b))
			})
		})
	}
}

// needProton ends the test if Qpid Proton is not there.
func needProton(t *testing.T) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), python, "-c", "import proton").CombinedOutput(); err != nil {
		missing(t, fmt.Sprintf("Qpid Proton is not installed: %v: %s", err, out), "apt-get install python3-qpid-proton")
	}
}

// startBroker starts "polyport serve --broker" and returns its address.
func startBroker(t *testing.T, args ...string) (addr string) {
	t.Helper()
	return startCommand(t, buildCommand(t), append([]string{"--broker"}, args...)...)
}

// startCommand starts "polyport serve" with some options and returns its address.
func startCommand(t *testing.T, bin string, args ...string) (addr string) {
	t.Helper()
	cmd := exec.CommandContext(context.Background(), bin, append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...)
	var log strings.Builder
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Errorf("serve %q: %v\n%s", args, err, log.String())
		}
	})
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatalf("serve %q says nothing", args)
	}
	words := strings.Fields(lines.Text())
	if len(words) < 2 || words[0] != "listening" {
		t.Fatalf("serve %q says %q, want: listening ADDR …", args, lines.Text())
	}
	return words[1]
}

// tabulate runs the program of a table, and holds a column to what it finds.
func tabulate(t *testing.T, table, column, url string) {
	t.Helper()
	program := map[string]string{"stomp.py": "broker_stomp.py", "Qpid Proton": "broker_proton.py"}[table]
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	var stderr strings.Builder
	cmd := exec.CommandContext(ctx, python, "testdata/"+program, url)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", program, column, err, out, stderr.String())
	}
	var found []finding
	for line := range strings.Lines(string(out)) {
		var f finding
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatalf("%s printed %q: %v", program, line, err)
		}
		if strings.HasPrefix(f.Finding, "failed: ") {
			t.Errorf("%s: %s\n%s", f.Case, f.Finding, stderr.String())
		}
		found = append(found, f)
	}
	tableMu.Lock()
	defer tableMu.Unlock()
	doc := readTable(t, table)
	if os.Getenv("POLYPORT_UPDATE") == "1" {
		doc.set(column, found)
		doc.write(t)
		return
	}
	for _, f := range found {
		if got := doc.cells[f.Case][column]; got != f.Finding {
			t.Errorf("%s: docs/broker.md has %q, and it is %q; write it anew with POLYPORT_UPDATE=1", f.Case, got, f.Finding)
		}
	}
	if len(found) != len(doc.cases) {
		t.Errorf("docs/broker.md has %d cases for %s, want %d", len(doc.cases), table, len(found))
	}
}

// A docTable is a table in docs/broker.md between <!-- NAME --> and <!-- end -->.
type docTable struct {
	name          string
	before, after string // of the file
	cases         []string
	cells         map[string]map[string]string // by case and column
}

const brokerDocs = "../docs/broker.md"

var tableMu sync.Mutex // protects the file

func readTable(t *testing.T, name string) *docTable {
	t.Helper()
	text, err := os.ReadFile(filepath.FromSlash(brokerDocs))
	if err != nil {
		t.Fatal(err)
	}
	begin := "<!-- table: " + name + " -->\n"
	before, rest, ok := strings.Cut(string(text), begin)
	inside, after, closed := strings.Cut(rest, "<!-- end -->")
	if !ok || !closed {
		t.Fatalf("%s has no table between %q and <!-- end -->", brokerDocs, begin)
	}
	d := &docTable{name: name, before: before + begin, after: "<!-- end -->" + after, cells: map[string]map[string]string{}}
	for i, line := range strings.Split(strings.TrimSpace(inside), "\n") {
		cells := strings.Split(strings.Trim(line, "|"), "|")
		if i < 2 || len(cells) != 1+len(tableColumns[name]) { // its head
			continue
		}
		title := strings.ReplaceAll(strings.TrimSpace(cells[0]), "`", "")
		d.cases = append(d.cases, title)
		d.cells[title] = map[string]string{}
		for j, column := range tableColumns[name] {
			d.cells[title][column] = strings.TrimSpace(cells[j+1])
		}
	}
	return d
}

// set replaces a column. Cases that the program does not have any more go.
func (d *docTable) set(column string, found []finding) {
	d.cases = nil
	for _, f := range found {
		d.cases = append(d.cases, f.Case)
		if d.cells[f.Case] == nil {
			d.cells[f.Case] = map[string]string{}
		}
		d.cells[f.Case][column] = f.Finding
	}
}

func (d *docTable) write(t *testing.T) {
	t.Helper()
	var b strings.Builder
	columns := tableColumns[d.name]
	fmt.Fprintf(&b, "| %s | %s |\n|%s\n", d.name, strings.Join(columns, " | "), strings.Repeat(" --- |", 1+len(columns)))
	for _, title := range d.cases {
		fmt.Fprintf(&b, "| %s |", title)
		for _, column := range columns {
			fmt.Fprintf(&b, " %s |", d.cells[title][column])
		}
		b.WriteByte('\n')
	}
	if err := os.WriteFile(filepath.FromSlash(brokerDocs), []byte(d.before+b.String()+d.after), 0o600); err != nil {
		t.Fatal(err)
	}
}
