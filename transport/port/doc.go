// Package port serves many wires on one listening port.
package port
