// Package amqp holds AMQP's client to the contract through real brokers. It is a
// package of its own so that it runs beside the tests of package interop.
package amqp
