// Package http is the wire of HTTP and WebSocket.
package http
