package app

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"strings"

	"github.com/polyport/polyport/transport"
)

// NewLogger returns a logger that writes to w as c says, with flows
// ([FlowHandler]); a nil w discards all.
func NewLogger(c LogConfig, w io.Writer) *slog.Logger {
	if w == nil {
		return slog.New(slog.DiscardHandler)
	}
	o := &slog.HandlerOptions{Level: c.Level}
	if c.Format == "json" {
		return slog.New(FlowHandler(slog.NewJSONHandler(w, o)))
	}
	return slog.New(FlowHandler(slog.NewTextHandler(w, o)))
}

// NewListenOptions returns the options of every address that c listens at. It
// reads the files that c names: certificates and users. Its errors are of type
// [*ConfigError].
func NewListenOptions(c Config, log *slog.Logger) (*transport.ListenOptions, error) {
	users, err := readUsers(c)
	if err != nil {
		return nil, err
	}
	secured, err := serverTLS(c.TLS, log)
	if err != nil {
		return nil, err
	}
	o := &transport.ListenOptions{
		Options: transport.Options{
			Limits: c.Limits.Transport(), Heartbeat: c.Heartbeat, TLS: secured, Logger: log,
			PlaintextPasswords: c.PlaintextPasswords,
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
