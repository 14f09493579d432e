package app

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// recheck is how long the files of certificates are taken for unchanged.
const recheck = time.Second

// certificates are the server's certificate, its key and the authorities of
// clients, as their files had them when they were last read. A handshake reads
// them anew if that was a while ago. What cannot be used leaves the last good
// ones in place. Sessions live on with what they were made with.
type certificates struct {
	files   TLSConfig
	log     *slog.Logger
	current atomic.Pointer[tls.Config]

	mu    sync.Mutex // protects the fields below, and is held while files are read
	last  time.Time
	seen  [3][]byte // what the files held at last
	wrong string    // why they could not be used, if so
}

// serverTLS reads the files that c names; nil if there are none. The result
// follows them as they change.
func serverTLS(c TLSConfig, log *slog.Logger) (*tls.Config, error) {
	if c.Cert == "" {
		return nil, nil //nolint:nilnil // no TLS is no error
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &certificates{files: c, log: log, last: time.Now()}
	if err := s.read(); err != nil {
		return nil, err
	}
	conf := s.current.Load().Clone()
	conf.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.config(), nil }
	return conf, nil
}

// config returns what to use for a handshake. It never waits for another
// handshake that reads the files.
func (s *certificates) config() *tls.Config {
	if s.mu.TryLock() {
		defer s.mu.Unlock()
		if now := time.Now(); now.Sub(s.last) >= recheck {
			s.last = now
			s.renew()
		}
	}
	return s.current.Load()
}

// renew reads the files again, and says what came of it if it is news. It needs
// mu.
func (s *certificates) renew() {
	before := s.current.Load()
	err := s.read()
	switch {
	case err != nil && err.Error() != s.wrong:
		s.wrong = err.Error()
		s.log.Error("the changed certificates cannot be used; the last ones stay in use", "err", err)
	case err == nil && s.current.Load() != before:
		leaf := s.current.Load().Certificates[0].Leaf
		s.log.Info("certificates read anew", "subject", leaf.Subject.String(), "until", leaf.NotAfter)
	}
	if err == nil {
		s.wrong = ""
	}
}

// read makes a configuration of the files, if they have changed. It needs mu.
func (s *certificates) read() error {
	var found [3][]byte
	for i, name := range []string{s.files.Cert, s.files.Key, s.files.ClientCA} {
		if name == "" {
			continue
		}
		text, err := readFile(name)
		if err != nil {
			return &ConfigError{Key: [...]string{"tls.cert", "tls.key", "tls.client_ca"}[i], Err: err}
		}
		found[i] = text
	}
	same := true
	for i := range found {
		same = same && bytes.Equal(found[i], s.seen[i])
	}
	if same && s.current.Load() != nil {
		return nil
	}
	conf, err := s.files.config(found[0], found[1], found[2])
	if err != nil {
		return err
	}
	s.seen = found
	s.current.Store(conf)
	return nil
}

// config returns what the texts of the files make.
func (c TLSConfig) config(cert, key, authorities []byte) (*tls.Config, error) {
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, &ConfigError{Key: "tls", Err: err}
	}
	conf := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: c.MinVersion.number()}
	if c.ClientCA == "" {
		return conf, nil
	}
	if conf.ClientCAs, err = certPool(c.ClientCA, authorities); err != nil {
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
	pem, err := readFile(file)
	if err != nil {
		return nil, err
	}
	return certPool(file, pem)
}

func certPool(file string, pem []byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no PEM certificate", file)
	}
	return pool, nil
}

// maxPEMFile bounds the memory that a wrong file name can cost.
const maxPEMFile = 16 << 20

func readFile(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxPEMFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, maxPEMFile)
	}
	return os.ReadFile(name)
}
