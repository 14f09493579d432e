package stomp

import (
	"net"

	"github.com/go-stomp/stomp/v3/frame"

	"github.com/polyport/polyport/transport"
)

// A FrameReader is the reader of both ends, for tests that need no session.
type FrameReader struct{ r *frameReader }

// NewFrameReader reads the frames of a version from nc. o has its defaults set; with
// the profile OVirt the reader is as lenient as with oVirt's clients.
func NewFrameReader(nc net.Conn, v string, o *transport.Options) *FrameReader {
	s := transport.NewStream(nc, scheme, o, o.Limits.HeaderBytes+maxCommand)
	r := newFrameReader(s, o.Limits)
	r.version, _ = highest(v)
	r.lenient = o.Profile == transport.OVirt
	return &FrameReader{r}
}

// Next returns the next frame, which is valid until the call after, and the
// message that it carries, if it is one.
func (f *FrameReader) Next() (*frame.Frame, *transport.Message, error) {
	got, err := f.r.next()
	if err != nil || got.Command != frame.SEND && got.Command != frame.MESSAGE {
		return got, nil, err
	}
	return got, f.r.message(), nil
}

// Close ends the stream.
func (f *FrameReader) Close() { f.r.stream.Fail(net.ErrClosed) }

// AppendFrame appends a frame in the words of a version, with its body's
// length.
func AppendFrame(dst []byte, v string, f *frame.Frame) []byte {
	version, _ := highest(v)
	return appendFrame(dst, version, f)
}

// Deliveries are what waits for its ACK, by their ids.
type Deliveries struct{ u deliveries }

// NewDeliveries returns none.
func NewDeliveries() *Deliveries { return new(Deliveries) }

// Add adds one.
func (d *Deliveries) Add(id uint64) { d.u.add(delivery{id: id}) }

// Take reports whether there was one.
func (d *Deliveries) Take(id uint64) bool {
	found := d.u.find(id)
	return found != nil && d.u.takeOne(found).id == id
}

// TakeOdd takes out those with odd ids up to last.
func (d *Deliveries) TakeOdd(last uint64) (ids []uint64) {
	for _, d := range d.u.take(nil, last, func(d *delivery) bool { return d.id%2 == 1 }) {
		ids = append(ids, d.id)
	}
	return ids
}

// Places is how long the list is.
func (d *Deliveries) Places() int { return len(d.u.list) }
