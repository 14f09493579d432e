package http_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/polyport/polyport/conformance"
	"github.com/polyport/polyport/transport"
)

// unsaid are the rules of JSON-RPC that nobody can ask about by XML-RPC, with why.
var unsaid = func() map[string]string {
	const (
		noRequest = "XML-RPC has words for requests alone: what is none is not sent"
		noVersion = "XML-RPC has no place for the version, nor for members that contradict each other"
		other     = "by XML-RPC params that are empty arrive as none, an object comes wrapped, and numbers of any size do not exist"
		shallow   = "values deeper than 500 are not sent"
	)
	all := map[string]string{"Version": noVersion, "ResultAndMethod": noVersion, "Result": other, "Params": other, "Depth": shallow}
	for _, name := range []string{
		"ParseError", "EmptyBody", "TwoTexts", "InvalidRequest", "InvalidKeepsID", "ParamsKind", "MemberCase", "DuplicateMember", "InvalidUTF8",
		"ResponseUnasked", "IDKind", "Batch", "BatchOrder", "BatchEmpty", "BatchInvalid", "BatchParseError", "BatchMixed", "BadMessages",
	} {
		all[name] = noRequest
	}
	return all
}()

// TestXMLConformance holds a server, asked by XML-RPC, to those rules of JSON-RPC
// that XML-RPC has words for.
func TestXMLConformance(t *testing.T) {
	address := serveXML(t, nil, nil)
	conformance.Run(t, conformance.Harness{
		URL: "http://" + address, Patience: 20 * time.Second, Skip: unsaid,
		Server: &conformance.Server{Dial: func(ctx context.Context, o *transport.DialOptions) (transport.Conn, error) {
			return transport.Dial(ctx, "http://"+address+"?format=xmlrpc", o)
		}},
		RawDial: func(t conformance.TB) net.Conn {
			nc, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
			if err != nil {
				t.Fatalf("dial: %v", err)
			}
			return nc
		},
	})
}
