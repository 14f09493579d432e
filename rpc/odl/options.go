package odl

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An option is a key that an endpoint's URI may have.
type option struct {
	key    string
	expect string // what its value may be
	secret bool
	flag   bool // it stands alone
	// set takes a value, and reports whether it is one.
	set func(e *Endpoint, value string) bool
	// text is the value, or "" if it is the default.
	text func(e *Endpoint) string
}

// options are all of them, in the order in which they are written.
var options = []*option{
	millis("timeout", 1, func(e *Endpoint) *time.Duration { return &e.Timeout }),
	number("proxyRetryCount", 0, func(e *Endpoint) *int { return &e.RetryCount }),
	millis("proxyRetryDelay", 0, func(e *Endpoint) *time.Duration { return &e.RetryDelay }),
	flag("auth", func(e *Endpoint) *bool { return &e.Auth }),
	text("auth-username", func(e *Endpoint) *string { return &e.Username }),
	secret("auth-password", func(e *Endpoint) *string { return &e.Password }),
	choice("keystore-type", func(e *Endpoint) *string { return &e.KeystoreType }, "JKS", "PKCS12"),
	text("keystore-file", func(e *Endpoint) *string { return &e.KeystoreFile }),
	secret("keystore-password", func(e *Endpoint) *string { return &e.KeystorePassword }),
	text("truststore-file", func(e *Endpoint) *string { return &e.TruststoreFile }),
	secret("truststore-password", func(e *Endpoint) *string { return &e.TruststorePassword }),
	text("certificate-alias", func(e *Endpoint) *string { return &e.CertificateAlias }),
	choice("client-verify", func(e *Endpoint) *ClientVerify { return &e.ClientVerify }, VerifyNone, VerifyOptional, VerifyRequire),
	choice("cert-validation-policy", func(e *Endpoint) *ValidationPolicy { return &e.Validation }, Strict, Ignore),
	list("ciphers", cipherNames(), func(e *Endpoint) *[]string { return &e.Ciphers }),
	list("protocols", protocolNames(), func(e *Endpoint) *[]string { return &e.Protocols }),
	number("client-chain-max-length", 1, func(e *Endpoint) *int { return &e.ClientChain }),
	number("server-chain-max-length", 1, func(e *Endpoint) *int { return &e.ServerChain }),
}

// find returns the option called key, or nil.
func find(key string) *option {
	i := slices.IndexFunc(options, func(o *option) bool { return o.key == key })
	if i < 0 {
		return nil
	}
	return options[i]
}

// keys names them all.
func keys() string {
	all := make([]string, len(options))
	for i, o := range options {
		all[i] = o.key
	}
	return strings.Join(all, ", ")
}

// parse sets the option to a value, if there was one.
func (o *option) parse(e *Endpoint, value string, valued bool) error {
	switch {
	case o.set(e, value) && (o.flag || value != ""):
		return nil
	case o.secret:
		return fmt.Errorf("odl: the option %s has no value; expected %s", o.key, o.expect)
	case valued:
		return fmt.Errorf("odl: %s=%.60s: expected %s", o.key, value, o.expect)
	}
	return fmt.Errorf("odl: the option %s has no value; expected %s", o.key, o.expect)
}

func text(key string, field func(*Endpoint) *string) *option {
	return &option{
		key: key, expect: "a text",
		set:  func(e *Endpoint, v string) bool { *field(e) = v; return true },
		text: func(e *Endpoint) string { return *field(e) },
	}
}

func secret(key string, field func(*Endpoint) *string) *option {
	o := text(key, field)
	o.secret, o.expect = true, "a password"
	return o
}

// flag stands for true by being there, as for OpenDaylight, which takes auth=false for
// true, too: that is refused.
func flag(key string, field func(*Endpoint) *bool) *option {
	return &option{
		key: key, flag: true, expect: "no value; leave the key out to turn it off",
		set: func(e *Endpoint, v string) bool {
			*field(e) = true
			return v == "" || strings.EqualFold(v, "true")
		},
		text: func(e *Endpoint) string {
			if *field(e) {
				return "true"
			}
			return ""
		},
	}
}

// choice is one of some words.
func choice[S ~string](key string, field func(*Endpoint) *S, words ...S) *option {
	names := make([]string, len(words))
	for i, w := range words {
		names[i] = string(w)
	}
	return &option{
		key: key, expect: "one of " + strings.Join(names, ", "),
		set: func(e *Endpoint, v string) bool {
			i := slices.IndexFunc(names, func(n string) bool { return strings.EqualFold(n, v) })
			if i >= 0 {
				*field(e) = words[i]
			}
			return i >= 0
		},
		text: func(e *Endpoint) string { return string(*field(e)) },
	}
}

// list is some of known words.
func list(key string, known []string, field func(*Endpoint) *[]string) *option {
	return &option{
		key: key, expect: "some of " + strings.Join(known, ", ") + ", with commas between",
		set: func(e *Endpoint, v string) bool {
			var all []string
			for name := range strings.SplitSeq(v, ",") {
				name = strings.TrimSpace(name)
				i := slices.IndexFunc(known, func(n string) bool { return strings.EqualFold(n, name) })
				if i < 0 {
					return false
				}
				all = append(all, known[i])
			}
			*field(e) = all
			return true
		},
		text: func(e *Endpoint) string { return strings.Join(*field(e), ",") },
	}
}

// number is a whole number from least on; where that is 1, zero means the default.
func number(key string, least int, field func(*Endpoint) *int) *option {
	return &option{
		key: key, expect: fmt.Sprintf("a number from %d to %d", least, math.MaxInt32),
		set: func(e *Endpoint, v string) bool {
			n, ok := digits(v)
			if ok && n >= least {
				*field(e) = n
			}
			return ok && n >= least
		},
		text: func(e *Endpoint) string {
			if *field(e) == 0 && least > 0 {
				return ""
			}
			return strconv.Itoa(*field(e))
		},
	}
}

// millis is a time in milliseconds.
func millis(key string, least int, field func(*Endpoint) *time.Duration) *option {
	o := number(key, least, nil)
	o.expect = fmt.Sprintf("a number of milliseconds from %d to %d", least, math.MaxInt32)
	o.set = func(e *Endpoint, v string) bool {
		n, ok := digits(v)
		if ok && n >= least {
			*field(e) = time.Duration(n) * time.Millisecond
		}
		return ok && n >= least
	}
	o.text = func(e *Endpoint) string {
		if *field(e) == 0 && least > 0 {
			return ""
		}
		return strconv.FormatInt(field(e).Milliseconds(), 10)
	}
	return o
}

// digits returns the number that v is, if it is nothing else.
func digits(v string) (int, bool) {
	n, err := strconv.ParseUint(v, 10, 31)
	return int(n), err == nil
}
