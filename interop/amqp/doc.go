// Package amqp has Qpid Proton and go-amqp talk to our server with no broker
// between, and holds AMQP's client to the contract through real brokers. It is a
// package of its own so that it runs beside the tests of package interop.
package amqp
