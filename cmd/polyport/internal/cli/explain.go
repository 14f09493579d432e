package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/polyport/polyport/app"
	"github.com/polyport/polyport/rpc"
	"github.com/polyport/polyport/transport"
)

// explain says in words why no answer came, and what to do about it.
func (e unansweredError) explain(c *common) (text, advice string) {
	what, advice := e.cause(c)
	if e.outcome == rpc.NotSent {
		return "no answer, nothing was sent: " + what, advice
	}
	if e.handle != "" {
		advice = "the same command with --async=" + e.handle + " comes back for the result, if the method allows it"
	}
	if advice == "" {
		advice = "repeat it only if it does no harm twice"
	}
	return "no answer, and it is unknown whether it was executed: " + what, advice
}

func (e unansweredError) cause(c *common) (what, advice string) {
	switch {
	case errors.Is(e.err, syscall.ECONNREFUSED):
		return "connection refused", fmt.Sprintf("is a server listening at %s? start one with: %s", e.addr(), e.serveCommand())
	case errors.Is(e.err, context.Canceled):
		return "interrupted", ""
	case errors.Is(e.err, context.DeadlineExceeded):
		return e.late(c)
	case errors.Is(e.err, transport.ErrPlaintext):
		return "user and password would cross the network in the clear",
			fmt.Sprintf("with TLS it is %ss://%s; or send them all the same with --insecure", e.to.url.Scheme, e.to.url.Host)
	case errors.Is(e.err, transport.ErrRefused) && strings.Contains(transport.Reason(e.err), wantsCertificate):
		return e.certificate(c, "required")
	case errors.Is(e.err, transport.ErrRefused):
		return "refused by the peer: " + transport.Reason(e.err), e.loginAdvice()
	}
	if host, ok := errors.AsType[*net.DNSError](e.err); ok {
		return fmt.Sprintf("cannot find the host %s: %s", host.Name, host.Err), "is the name right?"
	}
	if what, advice := e.tlsCause(c); what != "" {
		return what, advice
	}
	switch {
	case errors.Is(e.err, transport.ErrProtocol):
		return "the peer breaks the rules of the protocol: " + transport.Reason(e.err), e.portAdvice()
	case errors.Is(e.err, transport.ErrClosed):
		return "the connection ended: " + transport.Reason(e.err), e.portAdvice()
	case errors.Is(e.err, io.EOF), errors.Is(e.err, io.ErrUnexpectedEOF), errors.Is(e.err, syscall.ECONNRESET):
		return "the peer closed the connection", e.portAdvice()
	}
	return plain(e.err), ""
}

// late explains a passed timeout.
func (e unansweredError) late(c *common) (what, advice string) {
	if e.outcome == rpc.NotSent {
		return fmt.Sprintf("no connection to %s within %v", e.addr(), c.Timeout),
			"is this the right host, port and protocol? or give it longer with --timeout"
	}
	if queue := strings.Trim(e.to.url.Path, "/"); queue != "" {
		return fmt.Sprintf("nothing came within %v", c.Timeout), fmt.Sprintf("does a server consume /%s? start one with: "+
			"polyport serve --consume %s; repeat the call only if it does no harm twice", queue, e.to.url.Redacted())
	}
	return fmt.Sprintf("nothing came within %v", c.Timeout),
		"repeat it only if it does no harm twice, or give it longer with --timeout"
}

// wantsCertificate is part of what wires say of [transport.ErrCertificateRequired].
const wantsCertificate = "client certificate is required"

// certificate explains that the server wants a certificate of ours, or another one.
func (e unansweredError) certificate(c *common, complaint string) (what, advice string) {
	switch {
	case c.Cert != "" && complaint != "required":
		return "the server does not accept the certificate of --cert: " + complaint,
			"it has to be valid, for clients, and of an authority that the server knows"
	case c.Cert != "": // it was not even shown
		return "a client certificate is required, and that of --cert is of none of the authorities that the server names",
			"ask those who run the server which one it has to be"
	case app.IsTLS(e.to.url.Scheme):
		return "a client certificate is required", "show one with --cert FILE --key FILE"
	}
	return "a client certificate is required, and so TLS",
		fmt.Sprintf("it is %ss://%s with --cert FILE --key FILE", e.to.url.Scheme, e.to.url.Host)
}

// tlsCause explains a failed TLS handshake; what is "" for any other error.
func (e unansweredError) tlsCause(c *common) (what, advice string) {
	if _, ok := errors.AsType[tls.RecordHeaderError](e.err); ok {
		return "the server does not speak TLS at this port",
			fmt.Sprintf("without TLS it is %s://%s", strings.TrimSuffix(e.to.url.Scheme, "s"), e.to.url.Host)
	}
	if verify, ok := errors.AsType[*tls.CertificateVerificationError](e.err); ok {
		if _, unknown := errors.AsType[x509.UnknownAuthorityError](e.err); unknown {
			return "the server's certificate is from an unknown authority",
				"name its authority with --cacert FILE, or take any certificate with --insecure"
		}
		return "the server's certificate cannot be trusted: " + verify.Err.Error(), ""
	}
	// The alerts of the peer have no exported type. In TLS 1.3 those about our
	// certificate come with the first bytes that are read.
	_, alert, ok := strings.Cut(e.err.Error(), "remote error: tls: ")
	switch {
	case !ok:
		return "", ""
	case strings.HasPrefix(alert, "certificate required"):
		return e.certificate(c, "required")
	case strings.Contains(alert, "certificate"):
		return e.certificate(c, alert)
	case strings.HasPrefix(alert, "protocol version not supported"):
		return "the server has no version of TLS that is spoken here, which is 1.3", ""
	}
	return "the server ended the TLS handshake: " + alert, ""
}

// addr is the host and port, as far as known.
func (e unansweredError) addr() string {
	if op, ok := errors.AsType[*transport.OpError](e.err); ok && op.Addr != "" {
		return op.Addr
	}
	return e.to.url.Host
}

// serveCommand is what starts a server for the target.
func (e unansweredError) serveCommand() string {
	switch {
	case e.to.url.Scheme == "mem":
		return "polyport serve --listen mem://" + e.addr()
	case app.IsTLS(e.to.url.Scheme):
		return fmt.Sprintf("polyport serve --listen %s --cert FILE --key FILE", e.addr())
	}
	return "polyport serve --listen " + e.addr()
}

func (e unansweredError) loginAdvice() string {
	if e.outcome == rpc.NotSent && e.to.url.User == nil {
		return fmt.Sprintf("perhaps it wants a user: %s://USER:PASSWORD@%s", e.to.url.Scheme, e.to.url.Host)
	}
	return ""
}

func (e unansweredError) portAdvice() string {
	switch {
	case e.outcome != rpc.NotSent:
		return ""
	case app.IsTLS(e.to.url.Scheme):
		plain := strings.TrimSuffix(e.to.url.Scheme, "s")
		return fmt.Sprintf("is this the right port and protocol? without TLS it is %s://%s", plain, e.to.url.Host)
	case !app.IsTLS(e.to.url.Scheme + "s"):
		return "is this the right port and protocol?"
	}
	return fmt.Sprintf("is this the right port and protocol? with TLS it is %ss://%s", e.to.url.Scheme, e.to.url.Host)
}

// plain is err without the layers that repeat address and operation.
func plain(err error) string {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	}
	if call, ok := errors.AsType[*os.SyscallError](err); ok {
		err = call.Err
	}
	return transport.Reason(err)
}
