package stomp_test

import (
	"bytes"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-stomp/stomp/v3/frame"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/mem"
	"github.com/polyport/polyport/transport/stomp"
)

// newPair returns the two ends of a session of a version.
func newPair(t *testing.T, version string) (client, server transport.Conn) {
	t.Helper()
	near, far := mem.Pipe()
	u, _ := url.Parse("stomp://h?version=" + version)
	accepted := make(chan transport.Conn)
	go func() {
		c, err := serve(t, far)
		if err != nil {
			t.Error(err)
		}
		accepted <- c
	}()
	client, err := stomp.Transport{}.Client(t.Context(), near, u, nil)
	if err != nil {
		t.Fatal(err)
	}
	server = <-accepted
	t.Cleanup(func() {
		closed := make(chan struct{})
		go func() {
			_ = server.Close()
			close(closed)
		}()
		_ = client.Close()
		<-closed
	})
	return client, server
}

// headerText generates what a header of a version can hold.
func headerText(version string, isName bool) *rapid.Generator[string] {
	runes := []rune("aZ09 -_.,;=/\\\"{}\x01\x7f\u00a0ßя日🙂")
	switch version {
	case "1.0":
		if !isName {
			runes = append(runes, ':')
		}
	case "1.1":
		runes = append(runes, ':', '\n')
	case "1.2":
		runes = append(runes, ':', '\n', '\r')
	}
	least := 0
	if isName {
		least = 1
	}
	return rapid.StringOfN(rapid.SampledFrom(runes), least, 20, -1).Filter(func(s string) bool {
		// 1.0 has no way to keep leading blanks.
		return version != "1.0" || s == strings.TrimLeft(s, " ")
	})
}

// message generates what can be sent to a destination in a version.
func message(version, to string) *rapid.Generator[*transport.Message] {
	return rapid.Custom(func(t *rapid.T) *transport.Message {
		value, name := headerText(version, false), headerText(version, true)
		m := &transport.Message{
			To:            to,
			ReplyTo:       rapid.SampledFrom([]string{"", "/temp-queue/a"}).Draw(t, "reply-to"),
			Subject:       value.Draw(t, "subject"),
			ContentType:   value.Draw(t, "content-type"),
			ID:            transport.TextID(value.Draw(t, "id")),
			CorrelationID: transport.TextID(value.Draw(t, "correlation id")),
			Durable:       rapid.Bool().Draw(t, "durable"),
			Body:          rapid.SliceOfN(rapid.Byte(), 0, 10_000).Draw(t, "body"),
		}
		if ms := rapid.Int64Range(0, 1<<45).Draw(t, "expires"); ms > 0 {
			m.Expires = time.UnixMilli(ms)
		}
		for range rapid.IntRange(0, 8).Draw(t, "headers") {
			m.Headers = append(m.Headers, transport.Header{Name: "x" + name.Draw(t, "name"), Value: value.Draw(t, "value")})
		}
		return m
	})
}

// TestRoundTrip: every message that can be said in a version arrives as it was,
// in both directions.
func TestRoundTrip(t *testing.T) {
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			client, server := newPair(t, version)
			s, _ := transport.As[transport.Subscriber](client)
			if _, err := s.Subscribe(t.Context(), transport.Subscription{ID: "s", Destination: "/queue/back"}); err != nil {
				t.Fatal(err)
			}
			rapid.Check(t, func(rt *rapid.T) {
				want := message(version, "/queue/rpc").Draw(rt, "message")
				sent := *want
				sent.Body = bytes.Clone(want.Body)
				if err := client.Send(t.Context(), &sent); err != nil {
					rt.Fatal(err)
				}
				clear(sent.Body) // the caller's again
				got, err := server.Recv(t.Context())
				if err != nil {
					rt.Fatal(err)
				}
				if diff := cmp.Diff(want, got, sameMessage); diff != "" {
					rt.Fatalf("client to server (-sent +received):\n%s", diff)
				}

				back := *want
				back.To = "/queue/back"
				if err := server.Send(t.Context(), &back); err != nil {
					rt.Fatal(err)
				}
				if got, err = client.Recv(t.Context()); err != nil {
					rt.Fatal(err)
				}
				back.Subscription = "s"
				if diff := cmp.Diff(&back, got, sameMessage); diff != "" {
					rt.Fatalf("server to client (-sent +received):\n%s", diff)
				}
			})
		})
	}
}

// TestIDsBecomeText: STOMP has but one kind of id.
func TestIDsBecomeText(t *testing.T) {
	client, server := newPair(t, "1.2")
	for _, c := range []struct {
		id   transport.ID
		want string
	}{
		{transport.NumberID(1 << 63), "9223372036854775808"},
		{transport.UUIDID([16]byte{0x12, 0x34, 15: 0xff}), "12340000-0000-0000-0000-0000000000ff"},
		{transport.BinaryID([]byte{0, 1, 0xfe}), "0001fe"},
		{transport.TextID("a:b"), "a:b"},
	} {
		if err := client.Send(t.Context(), &transport.Message{ID: c.id, CorrelationID: c.id}); err != nil {
			t.Fatal(err)
		}
		m, err := server.Recv(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if want := transport.TextID(c.want); m.ID != want || m.CorrelationID != want {
			t.Errorf("%v arrived as %v and %v, want %v", c.id, m.ID, m.CorrelationID, want)
		}
	}
}

// frames12 generates frames of 1.2.
func frames12() *rapid.Generator[*frame.Frame] {
	return rapid.Custom(func(t *rapid.T) *frame.Frame {
		f := frame.New(rapid.SampledFrom([]string{frame.SEND, frame.MESSAGE, frame.ERROR, frame.SUBSCRIBE, frame.ACK, frame.RECEIPT, frame.DISCONNECT}).Draw(t, "command"))
		for range rapid.IntRange(0, 10).Draw(t, "headers") {
			f.Header.Add("x"+headerText("1.2", true).Draw(t, "name"), headerText("1.2", false).Draw(t, "value"))
		}
		switch f.Command {
		case frame.SEND, frame.MESSAGE, frame.ERROR:
			f.Body = rapid.SliceOfN(rapid.Byte(), 0, 1000).Draw(t, "body")
		}
		return f
	})
}

// TestWriterAgainstOracle: another reader understands what we write.
func TestWriterAgainstOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(frames12(), 1, 5).Draw(t, "frames")
		var b []byte
		for _, f := range want {
			b = stomp.AppendFrame(b, "1.2", f)
		}
		r := frame.NewReader(bytes.NewReader(b))
		for _, f := range want {
			got, err := r.Read()
			if err != nil {
				t.Fatalf("%q: the oracle %v", b, err)
			}
			got.Header.Del(frame.ContentLength)
			if got.Command != f.Command || headers(got) != headers(f) || !bytes.Equal(got.Body, f.Body) {
				t.Fatalf("we wrote\n%s\n%s%q\nthe oracle read\n%s\n%s%q", f.Command, headers(f), f.Body, got.Command, headers(got), got.Body)
			}
		}
	})
}

// TestReaderAgainstOracle: we understand what another writer writes, whether it
// counts the body or not.
func TestReaderAgainstOracle(t *testing.T) {
	o := (*transport.DialOptions)(nil).WithDefaults()
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(frames12(), 1, 5).Draw(t, "frames")
		counts := rapid.Bool().Draw(t, "counts")
		var b bytes.Buffer
		w := frame.NewWriter(&b)
		for _, f := range want {
			if counts {
				f.Header.Set(frame.ContentLength, strconv.Itoa(len(f.Body)))
			} else {
				f.Body = bytes.ReplaceAll(f.Body, []byte{0}, []byte{1})
			}
			if err := w.Write(f); err != nil {
				t.Fatal(err)
			}
			if rapid.Bool().Draw(t, "beat") {
				_ = w.Write(nil)
			}
		}
		pieces := rapid.SliceOfN(rapid.Byte(), 0, 5).Draw(t, "pieces")
		r := stomp.NewFrameReader(&tape{rest: b.Bytes(), pieces: pieces}, "1.2", &o.Options)
		defer r.Close()
		for _, f := range want {
			got, m, err := r.Next()
			if err != nil {
				t.Fatalf("%q: %v", b.Bytes(), err)
			}
			if diff := cmp.Diff(picture(f), string(appendPicture(nil, got, m))); diff != "" {
				t.Fatalf("(-the oracle wrote +we read)\n%s", diff)
			}
		}
	})
}
