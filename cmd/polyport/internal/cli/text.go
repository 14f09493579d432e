package cli

import (
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/polyport/polyport/transport"
)

// How things are said to people.

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func micros(us int64) string { return (time.Duration(us) * time.Microsecond).String() }

func beatText(us int64) string {
	if us == 0 {
		return "none"
	}
	return micros(us)
}

// bytesText writes a number of bytes in the largest unit that leaves it whole.
func bytesText(n int) string {
	units := [...]string{"bytes", "KiB", "MiB", "GiB"}
	i := 0
	for n != 0 && n%1024 == 0 && i < len(units)-1 {
		n /= 1024
		i++
	}
	return fmt.Sprintf("%d %s", n, units[i])
}

// thousands writes n with a comma before every third digit from the right.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// mode says how messages go on a connection.
func mode(i *transport.Info) string {
	switch {
	case i.Feed:
		return "events only"
	case i.Lockstep:
		return "lock-step"
	}
	return "duplex"
}

func describeTLS(i *transport.Info) *tlsPong {
	t := &tlsPong{Version: tls.VersionName(i.TLS.Version), Cipher: tls.CipherSuiteName(i.TLS.CipherSuite), ALPN: i.TLS.NegotiatedProtocol}
	if len(i.TLS.PeerCertificates) > 0 {
		cert := i.TLS.PeerCertificates[0]
		t.Subject, t.Expires = cert.Subject.String(), cert.NotAfter.Format(time.DateOnly)
	}
	return t
}

// isTerminal reports whether w is a terminal that can rewrite a line.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull) // a character device, too
	return err != nil || !os.SameFile(info, null)
}
