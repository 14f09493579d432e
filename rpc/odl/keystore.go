package odl

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/pavlo-v-chernykh/keystore-go/v4"
	"software.sslmate.com/src/go-pkcs12"
)

// maxStore is the most bytes of a keystore.
const maxStore = 8 << 20

// jksMagic begins a JKS file.
var jksMagic = []byte{0xFE, 0xED, 0xFE, 0xED}

// keyPair returns the key and the certificates of KeystoreFile.
func (e *Endpoint) keyPair() (tls.Certificate, error) {
	data, err := readStore("keystore-file", e.KeystoreFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	read := e.pkcs12Pair
	if bytes.HasPrefix(data, jksMagic) {
		read = e.jksPair
	}
	pair, err := read(data)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("odl: keystore-file %s: %w", e.KeystoreFile, err)
	}
	return pair, nil
}

// trusted returns the certificates of TruststoreFile, or nil for the system's.
func (e *Endpoint) trusted() (*x509.CertPool, error) {
	if e.TruststoreFile == "" {
		return nil, nil
	}
	data, err := readStore("truststore-file", e.TruststoreFile)
	if err != nil {
		return nil, err
	}
	read := e.pkcs12Trusted
	if bytes.HasPrefix(data, jksMagic) {
		read = e.jksTrusted
	}
	certs, err := read(data)
	switch {
	case err != nil:
		return nil, fmt.Errorf("odl: truststore-file %s: %w", e.TruststoreFile, err)
	case len(certs) == 0:
		return nil, fmt.Errorf("odl: truststore-file %s has no trusted certificate; expected one that keytool -importcert has put there",
			e.TruststoreFile)
	}
	pool := x509.NewCertPool()
	for _, c := range certs {
		pool.AddCert(c)
	}
	return pool, nil
}

// readStore reads a file that an option names, and checks that it is a keystore.
func readStore(option, name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("odl: %s: %w", option, err)
	}
	defer func() { _ = f.Close() }() // it was only read
	data, err := io.ReadAll(io.LimitReader(f, maxStore+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("odl: %s: %w", option, err)
	case len(data) > maxStore:
		return nil, fmt.Errorf("odl: %s %s has more than %d bytes; expected a keystore", option, name, maxStore)
	case !bytes.HasPrefix(data, jksMagic) && !bytes.HasPrefix(data, []byte{0x30}): // a SEQUENCE of DER
		return nil, fmt.Errorf("odl: %s %s is neither JKS nor PKCS12; expected what keytool writes", option, name)
	}
	return data, nil
}

func (e *Endpoint) pkcs12Pair(data []byte) (tls.Certificate, error) {
	key, leaf, chain, err := pkcs12.DecodeChain(data, e.KeystorePassword)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("cannot be read with keystore-password: %w", err)
	}
	pair := tls.Certificate{PrivateKey: key, Leaf: leaf, Certificate: [][]byte{leaf.Raw}}
	for _, c := range chain {
		pair.Certificate = append(pair.Certificate, c.Raw)
	}
	return pair, nil
}

func (e *Endpoint) pkcs12Trusted(data []byte) ([]*x509.Certificate, error) {
	certs, err := pkcs12.DecodeTrustStore(data, e.TruststorePassword)
	if err != nil {
		return nil, fmt.Errorf("cannot be read with truststore-password: %w", err)
	}
	return certs, nil
}

func (e *Endpoint) jksPair(data []byte) (tls.Certificate, error) {
	var pair tls.Certificate
	store := keystore.New(keystore.WithOrderedAliases())
	if err := store.Load(bytes.NewReader(data), []byte(e.KeystorePassword)); err != nil {
		return pair, fmt.Errorf("cannot be read with keystore-password: %w", err)
	}
	alias, err := e.alias(store)
	if err != nil {
		return pair, err
	}
	entry, err := store.GetPrivateKeyEntry(alias, []byte(e.KeystorePassword))
	if err != nil {
		return pair, fmt.Errorf("the key %s cannot be read with keystore-password: %w", alias, err)
	}
	if pair.PrivateKey, err = x509.ParsePKCS8PrivateKey(entry.PrivateKey); err != nil {
		return pair, fmt.Errorf("the key %s: %w", alias, err)
	}
	for _, c := range entry.CertificateChain {
		pair.Certificate = append(pair.Certificate, c.Content)
	}
	if len(pair.Certificate) == 0 {
		return pair, fmt.Errorf("the key %s has no certificate", alias)
	}
	pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0])
	return pair, err
}

// alias returns the name of the key that is asked for.
func (e *Endpoint) alias(store keystore.KeyStore) (string, error) {
	var all []string
	for _, a := range store.Aliases() {
		if !store.IsPrivateKeyEntry(a) {
			continue
		}
		if strings.EqualFold(a, e.CertificateAlias) {
			return a, nil
		}
		all = append(all, a)
	}
	switch {
	case len(all) == 0:
		return "", errors.New("has no key; expected one for this end's certificate")
	case e.CertificateAlias != "":
		return "", fmt.Errorf("has no key called %s; expected certificate-alias to be one of %s",
			e.CertificateAlias, strings.Join(all, ", "))
	case len(all) > 1:
		return "", fmt.Errorf("has several keys; expected certificate-alias to be one of %s", strings.Join(all, ", "))
	}
	return all[0], nil
}

func (e *Endpoint) jksTrusted(data []byte) ([]*x509.Certificate, error) {
	store := keystore.New(keystore.WithOrderedAliases())
	if err := store.Load(bytes.NewReader(data), []byte(e.TruststorePassword)); err != nil {
		return nil, fmt.Errorf("cannot be read with truststore-password: %w", err)
	}
	var certs []*x509.Certificate
	for _, a := range store.Aliases() {
		if !store.IsTrustedCertificateEntry(a) {
			continue
		}
		entry, err := store.GetTrustedCertificateEntry(a)
		if err != nil {
			return nil, err
		}
		c, err := x509.ParseCertificate(entry.Certificate.Content)
		if err != nil {
			return nil, fmt.Errorf("the certificate %s: %w", a, err)
		}
		certs = append(certs, c)
	}
	return certs, nil
}
