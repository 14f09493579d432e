package odl_test

import (
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/polyport/polyport/rpc/odl"
)

// TestParse: what a URI means. The rows are the subjects of UriParserTest, and the cases
// in which OpenDaylight's two parsers differ or fail.
func TestParse(t *testing.T) {
	t.Parallel()
	type is = func(e *odl.Endpoint)
	for name, row := range map[string]struct {
		uri  string
		want is // what differs from zmq://host
	}{
		"only scheme and host":              {"zmq://host", func(*odl.Endpoint) {}},
		"default port of http":              {"http://host", func(e *odl.Endpoint) { e.Scheme, e.Port = "http", 80 }},
		"default port of https":             {"https://host", func(e *odl.Endpoint) { e.Scheme, e.Port = "https", 443 }},
		"default port of ws":                {"ws://host", func(e *odl.Endpoint) { e.Scheme, e.Port = "ws", 80 }},
		"default port of wss":               {"wss://host", func(e *odl.Endpoint) { e.Scheme, e.Port = "wss", 443 }},
		"scheme in capitals":                {"ZMQ://host", func(*odl.Endpoint) {}},
		"port":                              {"zmq://host:1234", func(e *odl.Endpoint) { e.Port = 1234 }},
		"any port":                          {"zmq://host:0", func(e *odl.Endpoint) { e.Port = 0 }},
		"all interfaces keep the port":      {"zmq://*:4444", func(e *odl.Endpoint) { e.Host, e.Port = "", 4444 }},
		"all interfaces by no host":         {"zmq://:4444", func(e *odl.Endpoint) { e.Host, e.Port = "", 4444 }},
		"all interfaces at the default":     {"zmq://*", func(e *odl.Endpoint) { e.Host = "" }},
		"IPv6":                              {"zmq://[::1]:5", func(e *odl.Endpoint) { e.Host, e.Port = "::1", 5 }},
		"path":                              {"zmq://host/a%20b/c", func(e *odl.Endpoint) { e.Path = "/a%20b/c" }},
		"slash":                             {"zmq://host/?timeout=7", func(e *odl.Endpoint) { e.Path, e.Timeout = "/", 7*time.Millisecond }},
		"empty query":                       {"zmq://host?", func(*odl.Endpoint) {}},
		"empty pieces":                      {"zmq://host?&&timeout=7&", func(e *odl.Endpoint) { e.Timeout = 7 * time.Millisecond }},
		"retries":                           {"zmq://host?proxyRetryCount=0&proxyRetryDelay=0", func(e *odl.Endpoint) { e.RetryCount, e.RetryDelay = 0, 0 }},
		"auth without a value":              {"zmq://host?auth&auth-username=u&auth-password=p", auth("u", "p")},
		"auth with an empty value":          {"zmq://host?auth=&auth-username=u&auth-password=p", auth("u", "p")},
		"auth with a true value":            {"zmq://host?auth=true&auth-username=u&auth-password=p", auth("u", "p")},
		"order does not matter":             {"zmq://host?auth-password=p&auth-username=u&auth", auth("u", "p")},
		"a value with = is kept":            {"zmq://host?auth&auth-username=u&auth-password=a=b==", auth("u", "a=b==")},
		"a value with a question mark":      {"zmq://host?auth&auth-username=u&auth-password=a?b", auth("u", "a?b")},
		"percent-encoding":                  {"zmq://host?auth&auth-username=a%26b&auth-password=%3D%25%23", auth("a&b", "=%#")},
		"+ is a plus":                       {"zmq://host?auth&auth-username=a+b&auth-password=%20", auth("a+b", " ")},
		"an encoded key":                    {"zmq://host?time%6Fut=7", func(e *odl.Endpoint) { e.Timeout = 7 * time.Millisecond }},
		"words in any case":                 {"zmq://host?client-verify=require&cert-validation-policy=IGNORE&keystore-type=pkcs12", verify},
		"the largest number":                {"zmq://host?timeout=2147483647", func(e *odl.Endpoint) { e.Timeout = 2147483647 * time.Millisecond }},
		"chains":                            {"zmq://host?client-chain-max-length=1&server-chain-max-length=9", func(e *odl.Endpoint) { e.ClientChain, e.ServerChain = 1, 9 }},
		"protocols in the spelling of Java": {"zmq://host?protocols=tlsv1.2,TLSv1.3", func(e *odl.Endpoint) { e.Protocols = []string{"TLSv1.2", "TLSv1.3"} }},
		"ciphers": {"zmq://host?ciphers=TLS_AES_128_GCM_SHA256,%20TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", func(e *odl.Endpoint) {
			e.Ciphers = []string{"TLS_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"}
		}},
		"stores": {
			"zmq://host?keystore-file=/k.jks&keystore-password=kp&truststore-file=t.jks&truststore-password=tp&certificate-alias=me",
			func(e *odl.Endpoint) {
				e.KeystoreFile, e.KeystorePassword, e.CertificateAlias = "/k.jks", "kp", "me"
				e.TruststoreFile, e.TruststorePassword = "t.jks", "tp"
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := odl.Endpoint{
				Scheme: "zmq", Host: "host", Port: 10000, Timeout: 30 * time.Second, RetryCount: 5, RetryDelay: 100 * time.Millisecond,
				KeystoreType: "JKS", KeystorePassword: "changeit", TruststorePassword: "changeit",
				ClientVerify: odl.VerifyNone, Validation: odl.Strict, ClientChain: 3, ServerChain: 3,
			}
			row.want(&want)
			got := parse(t, row.uri)
			if !reflect.DeepEqual(*got, want) {
				t.Errorf("Parse(%s)\n = %+v\nwant %+v", row.uri, got.URI(), want.URI())
			}
			if again := parse(t, got.URI()); !reflect.DeepEqual(again, got) {
				t.Errorf("%s is another endpoint than %s", got.URI(), row.uri)
			}
		})
	}
}

// auth is an endpoint with a user.
func auth(user, password string) func(*odl.Endpoint) {
	return func(e *odl.Endpoint) { e.Auth, e.Username, e.Password = true, user, password }
}

func verify(e *odl.Endpoint) {
	e.ClientVerify, e.Validation, e.KeystoreType = odl.VerifyRequire, odl.Ignore, "PKCS12"
}

// TestParseRefuses: what is no endpoint, and what is said then. No error shows a
// password, which is "hush" here.
func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct{ uri, words string }{
		"nothing":                       {"", "begins with zmq://"},
		"no scheme":                     {"host:10000", "begins with zmq://"},
		"unknown scheme":                {"tcp://host", `not with the scheme "tcp"`},
		"no slashes":                    {"zmq:host", "two slashes"},
		"one slash":                     {"zmq:/host", "two slashes"},
		"user before the host":          {"http://ann:hush@host", "auth-username"},
		"bad user before the host":      {"http://ann:hu/sh@host:x", "auth-username"},
		"fragment":                      {"zmq://host?timeout=1#x", "no fragment"},
		"port that is no number":        {"zmq://host:x", "HOST[:PORT]"},
		"colons":                        {"zmq://::", "neither a name nor an address"},
		"port too high":                 {"zmq://host:65536", "up to 65535"},
		"unknown option":                {"zmq://host?timout=5", `unknown option "timout"; known are timeout, proxyRetryCount`},
		"option of polyport":            {"zmq://host?profile=odl", "unknown option"},
		"key in another case":           {"zmq://host?Timeout=5", "unknown option"},
		"empty key":                     {"zmq://host?=5", "without a key"},
		"duplicate":                     {"zmq://host?timeout=1&timeout=1", "timeout is there twice"},
		"duplicate with another value":  {"zmq://host?timeout=1&auth&timeout=2", "timeout is there twice"},
		"no value":                      {"zmq://host?timeout", "timeout has no value; expected a number of milliseconds"},
		"empty value":                   {"zmq://host?timeout=", "expected a number of milliseconds"},
		"empty text":                    {"zmq://host?keystore-file=", "expected a text"},
		"no number":                     {"zmq://host?timeout=soon", "timeout=soon: expected a number of milliseconds from 1 to 2147483647"},
		"negative":                      {"zmq://host?proxyRetryCount=-1", "expected a number from 0"},
		"a sign":                        {"zmq://host?timeout=+5", "expected a number"},
		"a fraction":                    {"zmq://host?timeout=1.5", "expected a number"},
		"too large":                     {"zmq://host?timeout=2147483648", "expected a number"},
		"no time at all":                {"zmq://host?timeout=0", "from 1 to"},
		"no chain":                      {"zmq://host?server-chain-max-length=0", "from 1 to"},
		"auth=false":                    {"zmq://host?auth=false", "leave the key out"},
		"auth without a user":           {"zmq://host?auth", "needs auth-username and auth-password"},
		"auth without a password":       {"zmq://host?auth&auth-username=ann", "needs auth-username and auth-password"},
		"auth with an empty password":   {"zmq://host?auth&auth-username=ann&auth-password=", "auth-password has no value"},
		"user without auth":             {"zmq://host?auth-username=ann&auth-password=hush", "without the option auth"},
		"& in a password":               {"zmq://host?auth-password=a&hush", "write a & in a password as %26"},
		"% in a password":               {"zmq://host?auth-password=%hush", "write a % as %25"},
		"% in a key":                    {"zmq://host?%zz=1", "unknown option"},
		"unknown verification":          {"zmq://host?client-verify=MAYBE", "client-verify=MAYBE: expected one of NONE, OPTIONAL, REQUIRE"},
		"unknown policy":                {"zmq://host?cert-validation-policy=lax", "expected one of strict, ignore"},
		"unknown store":                 {"zmq://host?keystore-type=JCEKS", "expected one of JKS, PKCS12"},
		"unknown protocol":              {"zmq://host?protocols=SSLv3", "expected some of TLSv1, TLSv1.1, TLSv1.2, TLSv1.3"},
		"unknown cipher":                {"zmq://host?ciphers=TLS_AES_128_GCM_SHA256,RC4", "TLS_CHACHA20_POLY1305_SHA256"},
		"empty word of a list":          {"zmq://host?protocols=TLSv1.2,,TLSv1.3", "expected some of"},
		"a gap between protocols":       {"zmq://host?protocols=TLSv1.1,TLSv1.3", "without a gap"},
		"ciphers of no protocol":        {"zmq://host?protocols=TLSv1.2&ciphers=TLS_AES_128_GCM_SHA256", "for at least one"},
		"ciphers that make a gap":       {"zmq://host?protocols=TLSv1.1,TLSv1.2,TLSv1.3&ciphers=TLS_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", ""},
		"a value that is not encoded":   {"zmq://host?certificate-alias=100%", "write a % as %25"},
		"a key that is only whitespace": {"zmq://host?%20=1", "unknown option"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, err := odl.Parse(row.uri)
			if row.words == "" { // beside the one above: no gap here
				if err != nil {
					t.Error(err)
				}
				return
			}
			if e != nil {
				t.Errorf("Parse = %v beside the error", e)
			}
			refused(t, err, row.words)
		})
	}
}

// TestString: the URI is built back without what is the default, and without passwords.
// The rows are the subjects of UriBuilderTest.
func TestString(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]string{
		"zmq://host:10000": "zmq://host",
		"zmq://*:10000/":   "zmq://*/",
		"ws://:8080":       "ws://*:8080",
		"http://[::1]":     "http://[::1]",
		"http://[::1]:81":  "http://[::1]:81",
		"zmq://host?timeout=30000&proxyRetryCount=5":                                                   "zmq://host",
		"zmq://host?proxyRetryDelay=5&timeout=7":                                                       "zmq://host?timeout=7&proxyRetryDelay=5",
		"https://host/a?auth&auth-username=a%20%26+b&auth-password=hush":                               "https://host/a?auth&auth-username=a%20%26%2Bb&auth-password=xxxxx",
		"wss://h?keystore-file=/k&keystore-password=hush&truststore-file=t&truststore-password=hush":   "wss://h?keystore-file=%2Fk&keystore-password=xxxxx&truststore-file=t&truststore-password=xxxxx",
		"wss://h?protocols=TLSv1.2&client-verify=optional&cert-validation-policy=Ignore&timeout=30000": "wss://h?client-verify=OPTIONAL&cert-validation-policy=ignore&protocols=TLSv1.2",
	} {
		e := parse(t, uri)
		if got := e.String(); got != want {
			t.Errorf("%s\n = %s\nwant %s", uri, got, want)
		}
		var log strings.Builder
		slog.New(slog.NewJSONHandler(&log, nil)).Info("", "at", e, "value", *e)
		for _, shown := range []string{fmt.Sprint(e), fmt.Sprintf("%+v", *e), log.String()} {
			if strings.Contains(shown, "hush") {
				t.Errorf("a password is shown: %s", shown)
			}
		}
		if strings.Contains(uri, "hush") != strings.Contains(e.URI(), "hush") {
			t.Errorf("URI() = %s", e.URI())
		}
	}
}

// FuzzParse: no text is too strange, and what is an endpoint can be written and read.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"zmq://*:4444?timeout=5000&auth&auth-username=a&auth-password=b=c", "https://[::1]/x%2Fy?protocols=TLSv1.2&ciphers=x",
		"ws://h?&&=&%zz", "http://a:b@c", "zmq:///", "wss://h%25:1?certificate-alias=%00", "zmq://[fe80::1%25eth0]:1/;,",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		e, err := odl.Parse(uri)
		if err != nil {
			return
		}
		again, err := odl.Parse(e.URI())
		if err != nil || !reflect.DeepEqual(e, again) {
			t.Errorf("%q: %q is %v, %v", uri, e.URI(), again, err)
		}
		if _, err := odl.Parse(e.String()); err != nil {
			t.Errorf("%q: %q: %v", uri, e, err)
		}
	})
}
