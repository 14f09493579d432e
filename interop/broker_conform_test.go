package interop_test

import (
	"context"
	"reflect"
	"testing"

	"github.com/polyport/polyport/conformance"
	"github.com/polyport/polyport/interop/broker"
	"github.com/polyport/polyport/transport"
)

// TestLearnBroker: what each broker does is found out as it is declared.
func TestLearnBroker(t *testing.T) {
	broker.Each(t, func(t *testing.T, b *broker.Broker) {
		found := conformance.Broker{Dial: func(ctx context.Context, queue string, o *transport.DialOptions) (transport.Conn, error) {
			return transport.Dial(ctx, b.URL+"/queue/"+queue, o)
		}}
		if err := found.Learn(t.Context()); err != nil {
			t.Fatal(err)
		}
		found.Dial = nil
		if want := declared[b.Kind]; !reflect.DeepEqual(found, want) {
			t.Errorf("Learn finds %+v, declared is %+v", found, want)
		}
	})
}

// TestConformCommand: the command tells a broker from a server behind it.
func TestConformCommand(t *testing.T) {
	bin := buildCommand(t)
	broker.Each(t, func(t *testing.T, b *broker.Broker) {
		command(t, bin, said{out: "through a broker ("}, "conform", b.URL, "--timeout", "30s", "--rule", "Order", "--rule", "Headers", "--rule", "ReleasedComesBack")
		queue := b.URL + "/queue/command.conform"
		consume(t, bin, "--consume", queue)
		command(t, bin, said{out: "JSON-RPC 2.0 at "}, "conform", queue, "--timeout", "30s", "--rule", "Batch", "--rule", "Oversize", "--rule", "GarbageOpening")
	})
}
