package app

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"strings"

	"github.com/polyport/polyport/transport"
)

// NewLogger returns a logger that writes to w as c says; a nil w discards all.
func NewLogger(c LogConfig, w io.Writer) *slog.Logger {
	if w == nil {
		return slog.New(slog.DiscardHandler)
	}
	o := &slog.HandlerOptions{Level: c.Level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// NewListenOptions returns the options of every address that c listens at. It
// reads the files that c names: certificates and users. Its errors are of type
// [*ConfigError].
func NewListenOptions(c Config, log *slog.Logger) (*transport.ListenOptions, error) {
	users, err := readUsers(c)
	if err != nil {
		return nil, err
	}
	secured, err := serverTLS(c.TLS)
	if err != nil {
		return nil, err
	}
	o := &transport.ListenOptions{
		Options: transport.Options{
			Limits: c.Limits.Transport(), Heartbeat: c.Heartbeat, TLS: secured, Logger: log,
		},
		HandshakeTimeout: c.Limits.HandshakeTimeout,
		Handshakes:       c.Limits.Handshakes,
		Connections:      c.Limits.Connections,
	}
	if len(users) > 0 {
		o.Authenticator = transport.Users(users)
	}
	return o, nil
}

// maxUsersFile bounds the memory that a wrong file name can cost.
const maxUsersFile = 16 << 20

// readUsers returns the users of c and of the file that it names.
func readUsers(c Config) (map[string]string, error) {
	users := make(map[string]string, len(c.Users))
	for name, password := range c.Users {
		users[name] = string(password)
	}
	if c.UsersFile == "" {
		return users, nil
	}
	more, err := usersFile(c.UsersFile)
	if err != nil {
		return nil, &ConfigError{Source: c.UsersFile, Err: err}
	}
	for name := range more {
		if _, twice := users[name]; twice {
			return nil, &ConfigError{Source: c.UsersFile, Err: fmt.Errorf("user %q is in the configuration, too", name)}
		}
	}
	maps.Copy(users, more)
	return users, nil
}

func usersFile(name string) (map[string]string, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxUsersFile+1))
	if err == nil && len(text) > maxUsersFile {
		err = fmt.Errorf("larger than %d bytes", maxUsersFile)
	}
	if err != nil {
		return nil, err
	}
	users := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		user, password, ok := strings.Cut(line, ":")
		if !ok || user == "" {
			return nil, fmt.Errorf("line %d: expected NAME:PASSWORD", n)
		}
		if _, twice := users[user]; twice {
			return nil, fmt.Errorf("line %d: user %q is there twice", n, user)
		}
		users[user] = password
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(users) == 0 {
		return nil, errors.New("has no users; without the setting everybody may connect")
	}
	return users, nil
}

// serverTLS reads the files that c names; nil if there are none.
func serverTLS(c TLSConfig) (*tls.Config, error) {
	if c.Cert == "" {
		return nil, nil //nolint:nilnil // no TLS is no error
	}
	cert, err := tls.LoadX509KeyPair(c.Cert, c.Key)
	if err != nil {
		return nil, &ConfigError{Key: "tls", Err: err}
	}
	conf := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13}
	if c.ClientCA == "" {
		return conf, nil
	}
	if conf.ClientCAs, err = ReadCertPool(c.ClientCA); err != nil {
		return nil, &ConfigError{Key: "tls.client_ca", Err: err}
	}
	conf.ClientAuth = tls.RequireAndVerifyClientCert
	if c.ClientOptional {
		conf.ClientAuth = tls.VerifyClientCertIfGiven
	}
	return conf, nil
}

// ReadCertPool reads the certificates in a PEM file.
func ReadCertPool(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no PEM certificate", file)
	}
	return pool, nil
}
