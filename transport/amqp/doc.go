// Package amqp is the AMQP 1.0 wire. Importing it registers the schemes amqp
// and amqps (AMQP over TLS) with package transport.
package amqp
