package stomp_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/polyport/polyport/transport"
)

// TestHeadsThatComeAgain: of a frame whose head is that of the frame before nothing
// is read anew, and nobody can tell.
func TestHeadsThatComeAgain(t *testing.T) {
	const head = "SEND\ndestination:rpc\nk:v\ncontent-length:2\n\n"
	message := func(body string) *transport.Message {
		return &transport.Message{To: "/queue/rpc", Headers: []transport.Header{{Name: "k", Value: "v"}}, Body: []byte(body)}
	}
	for _, c := range []struct {
		name  string
		parts []string // written one by one
		want  []*transport.Message
		got   string // by the peer
	}{
		{"glued", []string{head + "ab^@" + head + "cd^@" + head + "ef^@"}, []*transport.Message{message("ab"), message("cd"), message("ef")}, ""},
		{"line ends between", []string{head + "ab^@\n\r\n\n" + head + "cd^@\n"}, []*transport.Message{message("ab"), message("cd")}, ""},
		{"split in the head", []string{head + "ab^@SEND\ndesti", "nation:rpc\nk:v\ncontent-length:2\n\ncd^@"}, []*transport.Message{message("ab"), message("cd")}, ""},
		{"split in the body", []string{head + "ab^@" + head + "c", "d^@" + head + "ef^@"}, []*transport.Message{message("ab"), message("cd"), message("ef")}, ""},
		{
			"another one between",
			[]string{head + "ab^@" + "SEND\ndestination:rpc\nk:w\ncontent-length:2\n\ncd^@" + head + "ef^@"},
			[]*transport.Message{
				message("ab"),
				{To: "/queue/rpc", Headers: []transport.Header{{Name: "k", Value: "w"}}, Body: []byte("cd")},
				message("ef"),
			},
			"",
		},
		{
			"a head that begins with the last",
			[]string{"SEND\ndestination:rpc\n\nab^@SEND\ndestination:rpc\nsubject:s\n\ncd^@"},
			[]*transport.Message{{To: "/queue/rpc", Body: []byte("ab")}, {To: "/queue/rpc", Subject: "s", Body: []byte("cd")}},
			"",
		},
		{"each has its receipt", []string{strings.Repeat("SEND\ndestination:rpc\nreceipt:r\n\nab^@", 2)}, []*transport.Message{
			{To: "/queue/rpc", Body: []byte("ab")}, {To: "/queue/rpc", Body: []byte("ab")},
		}, strings.Repeat("RECEIPT\nreceipt-id:r\ncontent-length:0\n\n^@", 2)},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil, nil)
				p := r.connect("1.2")
				var all strings.Builder
				for _, part := range c.parts {
					all.WriteString(p.say(part))
				}
				told := all.String()
				got := r.session().received()
				for _, m := range got {
					m.To = "/queue/" + strings.TrimPrefix(m.To, "/queue/")
				}
				if diff := cmp.Diff(c.want, got, sameMessage...); diff != "" {
					t.Errorf("messages (-want +got):\n%s", diff)
				}
				if !matches(told, c.got) {
					t.Errorf("the peer got\n%s\nwant\n%s", printable(told), c.got)
				}
			})
		})
	}
}

// TestNoReceiptOfTheLast: what is no frame is not taken for one like the last, whose
// receipt it would have.
func TestNoReceiptOfTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newRig(t, nil, nil).connect("1.2")
		p.expect("SEND\ndestination:rpc\nreceipt:r\n\nab^@", "RECEIPT\nreceipt-id:r\ncontent-length:0\n\n^@")
		if got := p.say("garbage"); !strings.HasPrefix(got, "ERROR\n") || strings.Contains(got, "receipt-id") {
			t.Errorf("after garbage there came\n%s", printable(got))
		}
	})
}

// TestByteByByte: a head that comes again is known as soon as it is whole.
func TestByteByByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil, nil)
		p := r.connect("1.2")
		for _, b := range []byte(strings.Repeat("SEND\ndestination:rpc\n\nab\x00\n", 3)) {
			p.send(string(b))
		}
		if got := r.session().received(); len(got) != 3 || string(got[2].Body) != "ab" {
			t.Errorf("of three messages there came %v", got)
		}
	})
}

// TestHeadersOfTheirOwn: messages with the same head do not share their headers,
// which are the receiver's to change.
func TestHeadersOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil, nil)
		p := r.connect("1.2")
		p.say(strings.Repeat("SEND\ndestination:rpc\na:1\nb:2\nc:3\n\n^@", 2))
		got := r.session().received()
		if len(got) != 2 {
			t.Fatalf("%d messages came, want 2", len(got))
		}
		got[0].Headers[1].Value = "changed"
		_ = append(got[0].Headers[:2], transport.Header{Name: "x"})
		if h := got[1].Headers; h[1].Value != "2" || h[2].Name != "c" {
			t.Errorf("the second message has the headers %v", h)
		}
		p.say("SEND\ndestination:rpc\nd:4\n\n^@")
		if h := got[1].Headers; h[0].Value != "1" {
			t.Errorf("after another frame the second message has the headers %v", h)
		}
	})
}
