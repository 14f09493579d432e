// Package http carries messages by HTTP/1.1 and HTTP/2: JSON-RPC by POST, XML-RPC,
// WebSocket and Server-Sent Events. Importing it registers the schemes http, https,
// ws and wss with package transport.
package http
