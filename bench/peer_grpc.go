package main

import (
	"context"
	"encoding/json"
	"errors"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// grpcPeers are google.golang.org/grpc with two codecs.
func grpcPeers() []peer {
	const module = "google.golang.org/grpc"
	return []peer{
		{
			name: "grpc-json", module: module, open: openGRPC(grpcJSON, grpc.ForceServerCodec(grpcCodec{}), grpc.ForceCodec(grpcCodec{})),
			how: "unary calls with encoding/json as the codec",
		},
		{
			name: "grpc-proto", module: module, open: openGRPC(grpcProto, grpc.EmptyServerOption{}, grpc.EmptyCallOption{}),
			how: "unary calls with protobuf's wrapper types",
		},
	}
}

// grpcCodec is encoding/json.
type grpcCodec struct{}

// Marshal encodes v.
func (grpcCodec) Marshal(v any) ([]byte, error) { return json.Marshal(v) }

// Unmarshal decodes data.
func (grpcCodec) Unmarshal(data []byte, v any) error { return json.Unmarshal(data, v) }

// Name is the content-subtype.
func (grpcCodec) Name() string { return "json" }

const (
	grpcService = "bench.Service"
	grpcSum     = "/" + grpcService + "/Sum"
	grpcEcho    = "/" + grpcService + "/Echo"
)

// grpcMethod is what a generator would write.
func grpcMethod[P, R any](name string, fn func(*P) *R) grpc.MethodDesc {
	handler := func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		params := new(P)
		if err := decode(params); err != nil {
			return nil, err
		}
		return fn(params), nil
	}
	return grpc.MethodDesc{MethodName: name, Handler: handler}
}

// A grpcKind is the messages of one codec.
type grpcKind struct {
	sum, echo func(s *service) grpc.MethodDesc
	client    func(conn *grpc.ClientConn, end *closers) client
}

var grpcJSON = grpcKind{
	sum: func(s *service) grpc.MethodDesc {
		return grpcMethod("Sum", func(terms *[]float64) *float64 {
			sum := s.Sum(*terms)
			return &sum
		})
	},
	echo: func(s *service) grpc.MethodDesc {
		return grpcMethod("Echo", func(t *text) *text {
			result := s.Echo(*t)
			return &result
		})
	},
	client: func(conn *grpc.ClientConn, end *closers) client { return &grpcJSONClient{end, conn} },
}

var grpcProto = grpcKind{
	sum: func(s *service) grpc.MethodDesc {
		return grpcMethod("Sum", func(terms *wrapperspb.BytesValue) *wrapperspb.DoubleValue {
			return wrapperspb.Double(s.Sum(floats(terms.GetValue())))
		})
	},
	echo: func(s *service) grpc.MethodDesc {
		return grpcMethod("Echo", func(t *wrapperspb.StringValue) *wrapperspb.StringValue {
			return wrapperspb.String(s.Echo(text{t.GetValue()}).Text)
		})
	},
	client: func(conn *grpc.ClientConn, end *closers) client { return &grpcProtoClient{end, conn} },
}

func openGRPC(kind grpcKind, serverOption grpc.ServerOption, callOption grpc.CallOption) func(context.Context, *service) (client, error) {
	return func(ctx context.Context, s *service) (client, error) {
		ln, err := listen(ctx)
		if err != nil {
			return nil, err
		}
		server := grpc.NewServer(serverOption)
		server.RegisterService(&grpc.ServiceDesc{
			ServiceName: grpcService, HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{kind.sum(s), kind.echo(s)},
		}, s)
		end := &closers{}
		served := make(chan struct{})
		go func() {
			defer close(served)
			_ = server.Serve(ln) // it is stopped
		}()
		end.add(func() error { server.Stop(); <-served; return nil })
		conn, err := grpc.NewClient(ln.Addr().String(),
			grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(callOption))
		if err != nil {
			return nil, errors.Join(err, end.Close())
		}
		end.add(conn.Close)
		return kind.client(conn, end), nil
	}
}

type grpcJSONClient struct {
	*closers
	conn *grpc.ClientConn
}

// Sum is a call.
func (c *grpcJSONClient) Sum(ctx context.Context, terms []float64) (sum float64, err error) {
	err = c.conn.Invoke(ctx, grpcSum, terms, &sum)
	return sum, err
}

// Echo is a call.
func (c *grpcJSONClient) Echo(ctx context.Context, t text) (result text, err error) {
	err = c.conn.Invoke(ctx, grpcEcho, &t, &result)
	return result, err
}

type grpcProtoClient struct {
	*closers
	conn *grpc.ClientConn
}

// Sum is a call with the numbers as they would be in a packed repeated double.
func (c *grpcProtoClient) Sum(ctx context.Context, terms []float64) (float64, error) {
	var sum wrapperspb.DoubleValue
	err := c.conn.Invoke(ctx, grpcSum, wrapperspb.Bytes(appendFloats(nil, terms...)), &sum)
	return sum.GetValue(), err
}

// Echo is a call.
func (c *grpcProtoClient) Echo(ctx context.Context, t text) (text, error) {
	var result wrapperspb.StringValue
	err := c.conn.Invoke(ctx, grpcEcho, wrapperspb.String(t.Text), &result)
	return text{result.GetValue()}, err
}
