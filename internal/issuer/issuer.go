package issuer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"time"
)

// An Authority signs certificates. It is safe for concurrent use.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// lifetime is how long a certificate is valid, from an hour ago on.
const lifetime = 24 * time.Hour

// New returns an authority of that name.
func New(name string) (*Authority, error) {
	template := newTemplate(name)
	template.IsCA, template.KeyUsage = true, x509.KeyUsageCertSign
	made, err := sign(template, nil)
	if err != nil {
		return nil, err
	}
	key, _ := made.PrivateKey.(*ecdsa.PrivateKey)
	return &Authority{cert: made.Leaf, key: key}, nil
}

// Issue returns a certificate with that common name, and its key, for the
// server at hosts, which are names or addresses, or without any for a client.
func (a *Authority) Issue(name string, hosts ...string) (tls.Certificate, error) {
	template := newTemplate(name)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	return sign(template, a)
}

// Pool returns what a peer needs to trust the authority.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// PEM returns the authority's own certificate.
func (a *Authority) PEM() []byte { return encode("CERTIFICATE", a.cert.Raw) }

// PEM returns a certificate and its key as they are kept in files.
func PEM(c tls.Certificate) (cert, key []byte, err error) {
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		return nil, nil, err
	}
	return encode("CERTIFICATE", c.Certificate[0]), encode("PRIVATE KEY", der), nil
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func newTemplate(name string) *x509.Certificate {
	from := time.Now().Add(-time.Hour)
	serial := new(big.Int).SetBytes([]byte(rand.Text())) // up to 208 bits, never 0
	return &x509.Certificate{
		SerialNumber: serial.Rsh(serial, 64), Subject: pkix.Name{CommonName: name},
		NotBefore: from, NotAfter: from.Add(lifetime), BasicConstraintsValid: true,
	}
}

// sign makes a key for the template and signs it; a nil a signs itself.
func sign(template *x509.Certificate, a *Authority) (made tls.Certificate, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return made, err
	}
	parent, signer := template, key
	if a != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return made, err
	}
	leaf, err := x509.ParseCertificate(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
}
