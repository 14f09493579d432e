package rpc_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// Handles of the tests: U, V and W in scripts. T is of version 1.
const (
	handleU = "3b241101-e2bb-4255-8caf-4136c566a962"
	handleV = "6fa459ea-ee8a-4ca4-894e-db77e160355e"
	handleW = "16fd2706-8baf-433b-82eb-8c7fada847da"
	handleT = "5c0a5fd6-cafe-11f0-9d2a-0242ac120002"
)

var spelled = strings.NewReplacer(`"U"`, `"`+handleU+`"`, `"V"`, `"`+handleV+`"`, `"W"`, `"`+handleW+`"`, `"T"`, `"`+handleT+`"`)

var shortened = strings.NewReplacer(handleU, "U", handleV, "V", handleW, "W", handleT, "T")

// asyncMux has methods that take time, in virtual time.
func asyncMux(j *journal) *rpc.Mux {
	m := rpc.NewMux(nil)
	task := func(ctx context.Context, p struct {
		MS int64 `json:"ms"`
	},
	) (int64, error) {
		j.note("Task", p.MS)
		select {
		case <-time.After(time.Duration(p.MS) * time.Millisecond):
			return p.MS, nil
		case <-ctx.Done():
			cause := context.Cause(ctx)
			if errors.Is(cause, transport.ErrClosed) {
				cause = transport.ErrClosed // in fewer words
			}
			j.note("stopped: ", cause)
			return 0, ctx.Err()
		}
	}
	rpc.Handle(m, "Task", task)
	rpc.Handle(m, "Sync", task)
	rpc.Handle(m, "None", func(ctx context.Context, _ struct{}) (any, error) {
		j.note("None", "")
		time.Sleep(300 * time.Millisecond)
		return nil, nil //nolint:nilnil // null is the result
	})
	rpc.Handle(m, "Fail", func(context.Context, json.RawMessage) (any, error) {
		j.note("Fail", "")
		time.Sleep(300 * time.Millisecond)
		return nil, &rpc.Error{Code: 7, Message: "no", Data: json.RawMessage(`[1.0]`)}
	})
	rpc.Handle(m, "Long", func(ctx context.Context, _ json.RawMessage) (any, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	rpc.Handle(m, "Panic", func(context.Context, json.RawMessage) (any, error) {
		j.note("Panic", "")
		time.Sleep(300 * time.Millisecond)
		panic("as expected")
	})
	for _, name := range []string{"Task", "None", "Fail", "Panic", "Long"} {
		m.Configure(name, rpc.MethodOptions{Async: true})
	}
	return m
}

// A posing connection says of itself what a test wants.
type posing struct {
	transport.Conn

	lockstep bool
	user     string
	// broker has what is received look like what a broker gives out, to be
	// acknowledged.
	broker bool
}

func (c *posing) Recv(ctx context.Context) (*transport.Message, error) {
	m, err := c.Conn.Recv(ctx)
	if err == nil && c.broker {
		m.Subscription = "requests"
		m.SetSettler(c, 1)
	}
	return m, err
}

func (c *posing) SettleMessage(uint64, transport.Outcome) error { return nil }

func (c *posing) Unwrap() transport.Conn { return c.Conn }

func (c *posing) Info() *transport.Info {
	info := *c.Conn.Info()
	info.Lockstep = c.lockstep
	if c.user != "" {
		info.User = c.user
	}
	return &info
}

// A stage is a server whose connections are posing.
type stage struct {
	t *testing.T
	*rpc.Server
	link
	wire    wire
	pose    posing // the next connection
	journal journal
	peers   map[string]*peer
}

// onStage starts a server with asyncMux in a bubble.
func onStage(t *testing.T, w wire, lockstep bool, o *rpc.ServerOptions) *stage {
	t.Helper()
	s := &stage{t: t, wire: w, pose: posing{lockstep: lockstep}, peers: make(map[string]*peer)}
	s.Server = rpc.NewServer(asyncMux(&s.journal), o)
	s.link = w.open(t, &transport.ListenOptions{Options: still()})
	t.Cleanup(func() {
		_ = s.Close()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown() = %v, want nil", err)
		}
	})
	return s
}

// connect returns both ends of a connection that is being served.
func (s *stage) connect(user string) (near transport.Conn) {
	s.t.Helper()
	near, err := s.dial(s.t.Context(), &transport.DialOptions{Options: still()})
	if err != nil {
		s.t.Fatal(err)
	}
	far, err := s.Accept(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	pose := s.pose
	pose.Conn, pose.user = far, user
	go func() { _ = s.ServeConn(&pose) }()
	return near
}

// client returns a client that sees the same poses.
func (s *stage) client(o *rpc.ClientOptions) *rpc.Client {
	s.t.Helper()
	onlyMem(s.t, s.wire, s.pose.lockstep)
	c := rpc.NewClient(&posing{Conn: s.connect(""), lockstep: s.pose.lockstep}, o)
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// peer returns the peer called name, whose user is what precedes a slash; that
// of anon is nobody.
func (s *stage) peer(name string) *peer {
	s.t.Helper()
	if s.peers[name] == nil {
		user, _, _ := strings.Cut(name, "/")
		s.peers[name] = newPeer(s.t, s.connect(strings.TrimPrefix(user, "anon")))
	}
	return s.peers[name]
}

var ackText = regexp.MustCompile(`\{"jsonrpc":"2.0","id":(\w+),"result":null,"metadata":\{"async":"(\w+)","state":"pending","pollMs":200,"ttlMs":600000\}\}`)

// briefAsync is brief with acknowledgements, as ID~HANDLE, and what says nothing. They must be exactly
// as they are documented.
func briefAsync(body string) string {
	if body == "" {
		return "empty"
	}
	body = regexp.MustCompile(`"data":\{"epoch":"[0-9a-f-]{36}"\}`).ReplaceAllString(body, `"data":"epoch"`)
	body = ackText.ReplaceAllString(shortened.Replace(body), `{"jsonrpc":"2.0","id":"$1~$2","result":"ack"}`)
	if strings.Contains(body, `"method"`) {
		return body
	}
	return strings.ReplaceAll(regexp.MustCompile(`"(\w+~\w+)"="ack"`).ReplaceAllString(brief(body), "$1"), `"epoch"`, " epoch")
}

// A step of a script is one line:
//
//	NAME> BODY        the peer called NAME says a body
//	NAME< TIME BRIEF  it hears one, so long after the beginning
//	NAME- TIME        it hears nothing until then
//	NAME!             its connection is cut
//	wait TIME         passes, so much of it
//	shutdown          begins
//	ran A, B          what the journal has noted since
type script []string

// play plays a script.
func (s *stage) play(lines script) {
	s.t.Helper()
	began := time.Now()
	for _, line := range lines {
		synctest.Wait()
		name, rest := line, ""
		if i := strings.IndexAny(line, "><-! "); i >= 0 {
			name, rest = line[:i], line[i:]
		}
		switch {
		case name == "shutdown":
			go func() { _ = s.Shutdown(context.Background()) }()
		case name == "wait":
			d, err := time.ParseDuration(strings.TrimSpace(rest))
			if err != nil {
				s.t.Fatal(err)
			}
			time.Sleep(d)
		case name == "ran":
			if diff := cmp.Diff(strings.TrimSpace(rest), strings.Join(s.journal.take(), ", ")); diff != "" {
				s.t.Errorf("%s (-want +got):\n%s", line, diff)
			}
		case rest[0] == '>':
			s.peer(name).say(spelled.Replace(strings.TrimSpace(rest[1:])))
		case rest[0] == '!':
			_ = s.peer(name).conn.Close()
			delete(s.peers, name)
		default:
			s.hear(line, name, rest, began)
		}
	}
	synctest.Wait()
}

func (s *stage) hear(line, name, rest string, began time.Time) {
	s.t.Helper()
	at, want, _ := strings.Cut(strings.TrimSpace(rest[1:]), " ")
	d, err := time.ParseDuration(at)
	if err != nil {
		s.t.Fatal(err)
	}
	left := d - time.Since(began)
	if rest[0] == '<' {
		left += time.Microsecond
	}
	body, err := s.peer(name).listen(left)
	got := briefAsync(body)
	switch {
	case err != nil && rest[0] == '-':
	case err != nil:
		s.t.Fatalf("%s: heard nothing: %v", line, err)
	default:
		if got = fmt.Sprintf("%v %s", time.Since(began).Truncate(time.Millisecond), got); got != fmt.Sprintf("%v %s", d, want) {
			s.t.Errorf("%s: heard %s", line, got)
		}
	}
}
