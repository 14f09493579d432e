package hostile_test

import (
	"testing"
	"time"

	"github.com/polyport/polyport/internal/hostile"
	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/amqp"
	"github.com/polyport/polyport/transport/http"
	"github.com/polyport/polyport/transport/mem"
	"github.com/polyport/polyport/transport/stomp"
	"github.com/polyport/polyport/transport/zmq"
)

// TestBeginWell: most openings get through the handshake; else they would be no
// worse than noise.
func TestBeginWell(t *testing.T) {
	for _, c := range []struct {
		name     string
		wire     transport.Transport
		openings [][]byte
		let      int // how many are let in, and break the rules then
	}{
		{"mem", mem.Transport{}, hostile.Mem(), 16},
		{"stomp", stomp.Transport{}, hostile.STOMP(), 12},
		{"amqp", amqp.Transport{}, hostile.AMQP(), 43},
		{"zmq", zmq.Transport{}, hostile.ZMQ(), 81},
		{"ws", http.Transport{}, hostile.WebSocket(), 60},
		{"http", http.Transport{}, hostile.HTTP(), 0}, // a request that is sound is the handshake
	} {
		let := 0
		for _, opening := range c.openings {
			client, server := mem.Pipe()
			go func() {
				_, _ = client.Write(opening)
				_ = client.(interface{ CloseWrite() error }).CloseWrite()
			}()
			_ = server.SetDeadline(time.Now().Add(5 * time.Second))
			conn, err := c.wire.Server(t.Context(), server, &transport.ListenOptions{Options: transport.Options{Linger: time.Millisecond}})
			if err != nil {
				_, _ = server.Close(), client.Close()
				continue
			}
			let++
			for err == nil {
				_, err = conn.Recv(t.Context())
			}
			_, _ = conn.Close(), client.Close()
		}
		if let != c.let {
			t.Errorf("%s: %d of %d openings are let in, want %d", c.name, let, len(c.openings), c.let)
		}
	}
}
