package conformance

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strings"
	"sync"

	"github.com/polyport/polyport/transport"
)

// accessRules are about who is let in.
var accessRules = []Rule{
	{
		Name:   "Authentication",
		Text:   "The Authenticator decides who may connect; the User of Info is who was let in.",
		direct: "it is not the other end that decides who may connect",
		check:  checkAuthentication,
	},
	{
		Name: "Credentials",
		Text: "The Authenticator sees the credentials as they were given; the reason of its refusal is not told to " +
			"the peer.",
		direct: "it is not the other end that decides who may connect",
		check:  checkCredentials,
	},
	{
		Name:   "VirtualHost",
		Text:   "VirtualHosts are the ones served; a client that asks for another is refused.",
		direct: "it is not the other end that decides who may connect",
		check:  checkVirtualHost,
	},
	{
		Name:   "PlaintextPassword",
		Text:   "A password from another machine is refused without TLS, unseen by the Authenticator, unless PlaintextPasswords allows it.",
		needs:  needsStream,
		direct: "it is not the other end that decides who may connect",
		check:  checkPlaintextPassword,
	},
}

// asUser returns options for a client with these credentials.
func (r *rig) asUser(user *url.Userinfo, a transport.Authenticator) PairOptions {
	o := r.h.options(shortLinger)
	o.User, o.Listen.Authenticator = user, a
	return o
}

// refused checks that two ends do not come together, and returns what the
// client was told.
func (r *rig) refused(who string, o PairOptions) string {
	r.Helper()
	client, server, err := r.h.pair(r, o)
	if err == nil {
		r.Errorf("%s was let in", who)
		r.closeAll(client, server)
		return ""
	}
	if !errors.Is(err, transport.ErrRefused) {
		r.Errorf("%s: err = %v, want ErrRefused", who, err)
	}
	return err.Error()
}

func checkAuthentication(r *rig) {
	users := transport.Users(map[string]string{"alice": "right", "bob": "also right"})
	for _, name := range []string{"alice", "bob"} {
		password, _ := map[string]string{"alice": "right", "bob": "also right"}[name]
		client, server := r.pair(r.asUser(url.UserPassword(name, password), users))
		if a, b := client.Info().User, server.Info().User; a != name || b != name {
			r.Errorf("User = %q at the client and %q at the server, want %q", a, b, name)
		}
		r.works(r.ways(client, server)...)
	}
	wrong := r.refused("a wrong password", r.asUser(url.UserPassword("alice", "wrong"), users))
	unknown := r.refused("an unknown user", r.asUser(url.UserPassword("mallory", "right"), users))
	if wrong != unknown {
		r.Errorf("a wrong password is told %q, an unknown user %q, want the same", wrong, unknown)
	}
	r.refused("another user's password", r.asUser(url.UserPassword("alice", "also right"), users))
	r.refused("an empty password", r.asUser(url.User("alice"), users))
	r.refused("nobody", r.asUser(nil, users))
	client, server := r.pair(r.asUser(url.UserPassword("anyone", "x"), nil))
	if u := server.Info().User; u != "" {
		r.Errorf("without an Authenticator the server's User = %q, want nobody", u)
	}
	r.works(r.ways(client, server)...)
}

// A witness is an Authenticator that remembers, and lets in under another
// name or not at all.
type witness struct {
	user string
	err  error

	mu  sync.Mutex // protects the field below
	saw []transport.Credentials
}

func (w *witness) Authenticate(_ context.Context, c transport.Credentials) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.saw = append(w.saw, c)
	return w.user, w.err
}

func checkCredentials(r *rig) {
	for _, c := range []struct{ user, password string }{
		{"alice", "pass word"}, {"üser@example.org", "päss:wörd/世界"}, {"a", `back\slash "quoted"`}, {"none", ""},
	} {
		w := &witness{user: "somebody"}
		o := r.asUser(url.UserPassword(c.user, c.password), w)
		o.Dial.VirtualHost = "vhost.example"
		_, server := r.pair(o)
		if len(w.saw) != 1 || w.saw[0].User != c.user || w.saw[0].Password != c.password || w.saw[0].VirtualHost != "vhost.example" {
			r.Errorf("credentials %q, virtual host %q: the Authenticator saw %+v", c, "vhost.example", w.saw)
		}
		if u := server.Info().User; u != "somebody" {
			r.Errorf("User = %q, want the name that the Authenticator gave, %q", u, "somebody")
		}
	}
	told := r.refused("one whom the Authenticator refused",
		r.asUser(url.UserPassword("alice", "x"), &witness{err: errors.New("the directory at 10.1.2.3 says no")}))
	if strings.Contains(told, "10.1.2.3") {
		r.Errorf("the peer was told why the Authenticator refused it: %q", told)
	}
}

func checkVirtualHost(r *rig) {
	o := r.asUser(nil, nil)
	o.Listen.VirtualHosts = []string{"one.example", "two.example"}
	o.Dial.VirtualHost = "two.example"
	r.works(r.ways(r.pair(o))...)
	o.Dial.VirtualHost = "three.example"
	r.refused("a client for an unknown virtual host", o)
	o.Listen.VirtualHosts = nil
	r.works(r.ways(r.pair(o))...)
}

// elsewhere is a connection whose peer is on another machine.
type elsewhere struct{ net.Conn }

func (elsewhere) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 4711} }

func checkPlaintextPassword(r *rig) {
	w := &witness{user: "alice"}
	from := func(server func(net.Conn) net.Conn) PairOptions {
		o := r.asUser(url.UserPassword("alice", "right"), w)
		o.Client, o.Server = r.h.stream(r)
		o.Server = server(o.Server)
		return o
	}
	far := func(nc net.Conn) net.Conn { return elsewhere{nc} }
	r.refused("a password in the clear", from(far))
	if len(w.saw) != 0 {
		r.Errorf("the Authenticator saw the password that was refused: %+v", w.saw)
	}
	allowed := from(far)
	allowed.Listen.PlaintextPasswords = true
	r.works(r.ways(r.pair(allowed))...)
	r.works(r.ways(r.pair(from(func(nc net.Conn) net.Conn { return nc })))...)
	secured := from(far)
	r.secure(&secured)
	r.works(r.ways(r.pair(secured))...)
	if len(w.saw) != 3 || w.saw[0].Remote == nil || w.saw[2].TLS == nil {
		r.Errorf("the Authenticator saw %+v, want three peers by their addresses, the last one with TLS", w.saw)
	}
}
