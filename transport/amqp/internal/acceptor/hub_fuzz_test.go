package acceptor_test

import (
	"io"
	"testing"
	"time"

	"github.com/polyport/polyport/broker"
	"github.com/polyport/polyport/transport"
	"github.com/polyport/polyport/transport/amqp/internal/acceptor"
	"github.com/polyport/polyport/transport/amqp/internal/codec"
	"github.com/polyport/polyport/transport/amqp/internal/frames"
	"github.com/polyport/polyport/transport/mem"
)

// FuzzHub lets a peer say anything to a server with the hub behind it. Nothing
// may fall, and nothing of the peer may stay behind.
func FuzzHub(f *testing.F) {
	for _, a := range attacks() {
		if len(a.said) < 10_000 {
			f.Add([]byte(a.said), byte(len(a.name)))
		}
	}
	links := attach(0, "out", "/queue/a") + attach(1, "out2", "") + attach(2, "out3", "/topic/a.b") +
		receive(3, "in", "/queue/a", 0) + receive(4, "in2", "a", 1) + receive(5, "in3", "/topic/a.*", 2) + receive(6, "in4", "/temp-queue/x", 0)
	credit := func(handle uint32, drain bool) string {
		return performative(0, frames.CodeFlow, u32(0), u32(5), u32(0), u32(100), u32(handle), u32(0), u32(2), null, yes(drain), yes(true))
	}
	request := section(0x73, append([]byte{0xc0, 8, 5, 0x40, 0x40, 0x40, 0x40}, str("a")...)) + data("hello")
	state := func(code byte, fields ...byte) string {
		return performative(0, frames.CodeDisposition, yes(true), u32(0), u32(9), yes(true), raw(section(code, append([]byte{0xc0, byte(len(fields) + 1), byte(len(fields))}, fields...))))
	}
	value := section(0x77, codec.EndList(append([]byte{0xc0, 0, 0}, 0x41), 0, 1))
	for i, word := range []string{state(0x24), state(0x25), state(0x26), state(0x27, 0x41), state(0x27, 0x42, 0x41)} {
		f.Add([]byte(begin()+links+credit(3, false)+credit(4, true)+credit(5, i%2 == 0)+
			transfer(0, 0, false, false, request)+transfer(2, 1, true, false, value)+transfer(1, 2, false, false, request)+word+
			performative(0, frames.CodeDetach, u32(3), yes(true))+performative(0, frames.CodeEnd)+performative(0, frames.CodeClose)), byte(i))
	}
	f.Fuzz(func(t *testing.T, said []byte, how byte) {
		near, far := mem.Pipe()
		go func() {
			_, _ = near.Write(said)
			_ = near.(interface{ CloseWrite() error }).CloseWrite()
		}()
		go func() { _, _ = io.Copy(io.Discard, near); _ = near.Close() }()
		h := broker.New(&broker.Options{QueueDepth: 2, Waiting: 2, SendWait: time.Millisecond, SubscriberDepth: 2, Slow: broker.Policy(how >> 6 % 3)})
		defer h.Close()
		c, err := acceptor.Serve(t.Context(), far, &transport.ListenOptions{Broker: h, Options: transport.Options{
			Heartbeat: -1, Linger: time.Millisecond, Limits: transport.Limits{Message: 1 << 16, Unsettled: 4, Subscriptions: 4},
		}})
		if err != nil {
			_ = far.Close()
			return
		}
		fuzzed(c, how)
		_ = c.Close()
		_ = near.Close()
		for late := time.Now().Add(10 * time.Second); h.Stats().Consumers > 0; time.Sleep(time.Millisecond) {
			if time.Now().After(late) {
				t.Fatalf("%d consumers are left behind", h.Stats().Consumers)
			}
		}
	})
}
