package cli

import (
	"context"
	"os"
	"runtime"
	"time"

	"go.uber.org/fx"

	"github.com/polyport/polyport/app"
)

// serve has flags of its own for what the other verbs say in common, because
// they mean the server's side here.
type serve struct {
	Listen  []string       `group:"config" placeholder:"ADDR" help:"HOST:PORT, or stomp://… for one wire (127.0.0.1:7070); repeatable."`
	Profile *string        `group:"config" placeholder:"NAME" help:"Serve programs of an older system as they are: ovirt, odl."`
	Dest    []string       `name:"destination" group:"config" placeholder:"QUEUE" help:"Name of a queue served (rpc); may be repeated."`
	Consume []string       `group:"config" placeholder:"URL" help:"Queue of a broker, stomp://HOST:PORT/queue/calc; may be repeated."`
	Config  string         `placeholder:"FILE" env:"POLYPORT_CONFIG" help:"YAML file of settings."`
	JSON    bool           `help:"Print the addresses and log in JSON."`
	Time    *time.Duration `name:"timeout" group:"config" placeholder:"DURATION" help:"How long an orderly stop may take (15s)."`

	LogLevel  *string        `group:"config" placeholder:"LEVEL" help:"debug, info, warn or error (info)."`
	Heartbeat *time.Duration `group:"config" placeholder:"DURATION" help:"Interval of signs of life; negative for none (10s)."`
	Depth     *int           `name:"queue-depth" group:"config" placeholder:"N" help:"How many requests may wait (1024)."`
	Workers   *int           `name:"queue-workers" group:"config" placeholder:"N" help:"How many may run at once (256)."`
	UsersFile *string        `group:"config" placeholder:"FILE" help:"Lines NAME:PASSWORD of those who may connect (everybody)."`

	Broker *bool `group:"config" help:"Be a broker, too: /queue/NAME and /topic/NAME over any wire."`

	AtLeastOnce *bool `group:"config" help:"Acknowledge what is consumed after its answer; it may be executed again."`
	Prefetch    *int  `group:"config" placeholder:"N" help:"With --at-least-once, how many requests may be under way (128)."`

	Cert     *string `group:"tls" placeholder:"FILE" help:"PEM file of the server's certificate, with its chain."`
	Key      *string `group:"tls" placeholder:"FILE" help:"PEM file of its key."`
	CACert   *string `name:"cacert" group:"tls" placeholder:"FILE" help:"PEM file of authorities for clients' certificates."`
	Insecure *bool   `group:"tls" help:"Let clients without a certificate in although --cacert is given."`

	ConsumeCACert *string `name:"consume-cacert" group:"tls" placeholder:"FILE" help:"PEM file of authorities to trust for brokers."`
	ConsumeCert   *string `group:"tls" placeholder:"FILE" help:"PEM file of a certificate to show to brokers."`
	ConsumeKey    *string `group:"tls" placeholder:"FILE" help:"PEM file of its key."`
}

// Help is shown by serve --help.
func (*serve) Help() string {
	return `Serves Echo, Math.Sum, Sleep, Fail, Call.Back and Task.Run, and publishes the topic clock. First of all, a line
"listening ADDR WIRES" is printed for each address, "profile NAME ADDR WIRES" if it has one, "broker /queue/NAME /topic/NAME"
with --broker, and "consuming URL" for each queue of a broker. With --consume and no --listen it listens nowhere. At
HOST:PORT every wire is served, and with --cert and --key with TLS and without it; a URL such as stomps://HOST:PORT means
that wire alone.
Certificates are read again when their files change.
With --profile ovirt an oVirt engine is served as it is, with --profile odl the programs of OpenDaylight; a parameter says it
for one address, stomps://:54321?profile=ovirt. That of oVirt adds Host.ping, Host.getCapabilities, Host.getStats, Test.echo,
Test.sleep and Test.fail, and an event every 10 s.
SIGINT or SIGTERM ends it in order: requests that were accepted are answered, new ones refused; a second signal ends it
at once. Exit status 0 says that it ended in order, 1 that it could not listen or some requests were not answered in time.

Settings come from flags, then the environment (POLYPORT_LISTEN=a,b POLYPORT_QUEUE_DEPTH=100 …), then the file:

    listen: [127.0.0.1:7070, "stomps://0.0.0.0:7071"]
    http: {origins: ["https://app.example.org"], no_xmlrpc: true}
    stop_timeout: 15s
    users: {alice: secret}
    tls: {cert: server.pem, key: server.key, client_ca: clients.pem, client_certs: {http: optional}}
    broker: {enabled: true, access: [{user: alice, send: [/queue/calc]}]}

Examples:

    polyport serve --listen 127.0.0.1:7070
    polyport serve --listen 127.0.0.1:0 --listen stomps://:7071 --cert server.pem --key server.key
    polyport serve --config polyport.yaml --log-level debug
    polyport serve --broker
    polyport serve --profile ovirt --listen 127.0.0.1:54321
    polyport serve --consume stomp://guest:guest@127.0.0.1:61613/queue/calc --at-least-once`
}

func (v *serve) options() *common { return &common{JSON: v.JSON} }

func (v *serve) run(ctx context.Context, e *environment) error {
	conf, err := app.Load(app.Sources{File: v.Config, Environ: os.Environ(), Flags: v.flags()})
	if err != nil {
		return err
	}
	defer runtime.KeepAlive(heapOf(conf))
	var server *app.Server
	a := app.New(conf, app.Output{Stdout: e.stdout, Log: e.stderr, JSON: v.JSON}, fx.Populate(&server))
	if err := a.Err(); err != nil {
		return err
	}
	// The end of ctx must not interrupt Start half way: fx would leave running
	// what has started.
	starting, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.StartTimeout())
	defer cancel()
	if err := a.Start(starting); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-server.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.StopTimeout())
	defer cancel()
	if err := a.Stop(stopping); err != nil {
		return err
	}
	return server.Err()
}

// flags are the flags given, by the keys of their settings.
func (v *serve) flags() map[string]any {
	given := map[string]any{}
	if v.Listen != nil {
		given["listen"] = v.Listen
	}
	if v.Consume != nil {
		given["consume"] = v.Consume
	}
	if v.Dest != nil {
		given["destinations"] = v.Dest
	}
	set(given, "profile", v.Profile)
	if v.JSON {
		given["log.format"] = "json"
	}
	set(given, "stop_timeout", v.Time)
	set(given, "heartbeat", v.Heartbeat)
	set(given, "log.level", v.LogLevel)
	set(given, "queue.depth", v.Depth)
	set(given, "queue.workers", v.Workers)
	set(given, "users_file", v.UsersFile)
	set(given, "broker.enabled", v.Broker)
	set(given, "consumer.at_least_once", v.AtLeastOnce)
	set(given, "consumer.prefetch", v.Prefetch)
	set(given, "consumer.ca", v.ConsumeCACert)
	set(given, "consumer.cert", v.ConsumeCert)
	set(given, "consumer.key", v.ConsumeKey)
	set(given, "tls.cert", v.Cert)
	set(given, "tls.key", v.Key)
	set(given, "tls.client_ca", v.CACert)
	set(given, "tls.client_optional", v.Insecure)
	return given
}

func set[T any](m map[string]any, key string, v *T) {
	if v != nil {
		m[key] = *v
	}
}
