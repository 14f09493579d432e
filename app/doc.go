// Package app is polyport's sample server: listeners, request queue, logging
// and configuration, wired with fx. It is what "polyport serve" runs, and a
// pattern for servers of one's own.
//
// # Running one
//
// [New] returns the whole application:
//
//	conf, err := app.Load(app.Sources{File: "polyport.yaml", Environ: os.Environ()})
//	…
//	app.New(conf, app.Output{Stdout: os.Stdout, Log: os.Stderr}).Run()
//
// Methods of one's own join by [AsMethods], given to New as
// fx.Provide(app.AsMethods(ctor)). Those who want other parts compose the modules
// themselves: [LogModule], [RPCModule], [SampleModule], [OVirtModule] and
// [ServerModule] make up [Module]. All constructors are exported and work without fx.
//
// # Life
//
// Start listens everywhere or nowhere, subscribes to the queues of brokers, if
// there are any, then writes one line for each:
//
//	listening 127.0.0.1:7070 amqp http stomp ws zmq
//	profile ovirt 127.0.0.1:7070 stomp
//	broker /queue/NAME /topic/NAME
//	consuming stomp://127.0.0.1:61613/queue/calc
//
// Stop closes the listeners, refuses new requests with
// [rpc.CodeShuttingDown], answers those that were accepted, closes the
// connections and waits for every goroutine, all within the stop timeout. The
// last log record says how many accepted requests were left unanswered: 0,
// unless the timeout passed.
//
// # Configuration
//
// A [Config] is filled by [Load]: defaults, then a YAML file, then environment
// variables, then flags. The settings, with their defaults:
//
//	listen: ["127.0.0.1:7070"]   POLYPORT_LISTEN=a,b
//	profile: ""                  POLYPORT_PROFILE; ovirt, odl: of addresses that name none by ?profile=
//	destinations: []             POLYPORT_DESTINATIONS=a,b; queues served; none means rpc, and those of the profile
//	consume: []                  POLYPORT_CONSUME=a,b; queues of brokers
//	consumer:                    POLYPORT_CONSUMER_…
//	  at_least_once: false       acknowledge after the answer, not before
//	  prefetch: 128              requests under way, with at_least_once
//	  plaintext_passwords: false send passwords without TLS to other machines
//	  min_version: "1.3"         of TLS; 1.2, 1.3
//	  ca: ""                     PEM file
//	  cert: ""                   PEM file
//	  key: ""                    PEM file
//	stop_timeout: 15s            POLYPORT_STOP_TIMEOUT
//	heartbeat: 10s               POLYPORT_HEARTBEAT; negative for none
//	log:
//	  level: info                POLYPORT_LOG_LEVEL; debug, info, warn, error
//	  format: text               POLYPORT_LOG_FORMAT; text, json
//	limits:                      POLYPORT_LIMITS_…
//	  message: 4194304           bytes of a message
//	  header_bytes: 65536        bytes of a frame's header fields
//	  headers: 128               header fields of a frame
//	  subscriptions: 1024        of a connection
//	  unsettled: 1024            messages to be acknowledged, of a connection
//	  connections: 10000         open at an address
//	  handshakes: 1024           under way at an address
//	  handshake_timeout: 10s
//	  detection_timeout: 5s      of it, until the first bytes have told the wire
//	  depth: 1000                of nested JSON
//	  batch: 1000                requests in a batch
//	  in_flight: 1024            requests of a connection that wait or run
//	  null_params: false         take "params":null for none
//	  scalar_params: false       take "params":x for [x]
//	queue:                       POLYPORT_QUEUE_…
//	  depth: 1024                requests that wait
//	  workers: 256               requests that run
//	users: {}                    POLYPORT_USERS=name:password,name:password
//	users_file: ""               POLYPORT_USERS_FILE
//	plaintext_passwords: false   POLYPORT_PLAINTEXT_PASSWORDS; take them without TLS from other machines
//	tls:                         POLYPORT_TLS_…; files are read again when they change
//	  cert: ""                   PEM file
//	  key: ""                    PEM file
//	  min_version: "1.3"         1.2, 1.3
//	  client_ca: ""              PEM file; every client has to show a certificate
//	  client_optional: false     it need not
//	  client_certs: {}           POLYPORT_TLS_CLIENT_CERTS=http:off,stomp:required; by wire: off, optional, required
//	  only: false                refuse clients without TLS
//	http:                        POLYPORT_HTTP_…; WebSocket, too
//	  origins: []                of web pages that may call, besides the server's own: https://app.example.org
//	  no_xmlrpc: false           refuse XML-RPC
//	  compat: false              take requests of HTTP/1.1 without Host
//	broker:                      POLYPORT_BROKER_…; see [BrokerConfig]
//	  enabled: false             be a broker: /queue/NAME and /topic/NAME
//	  queue_depth: 65536         messages in a queue
//	  queue_bytes: 67108864      of them
//	  subscriber_depth: 1024     messages that wait for a subscriber
//	  subscriber_bytes: 4194304  of them
//	  memory: 1073741824         bytes in all
//	  send_wait: 5s              for room, before a message is refused
//	  policy: drop-oldest        for slow subscribers; block, disconnect
//	  attempts: 10               deliveries before a message is a dead letter; negative for no bound
//	  dead_letters: dead-letter  the queue for them
//	  ttl: 0                     of messages to queues; 0 for ever
//	  retain: 0                  topics whose last message is kept
//	  access: []                 rules such as {user: ann, send: [/queue/calc]}; POLYPORT_BROKER_ACCESS as JSON
//	  no_forward: false          do not look for unknown methods' services at queues
//	  operators: []              users who may call broker.stats and service.*
//	services: {}                 POLYPORT_SERVICES as JSON: {Math: {depth: 100, workers: 4, elsewhere: false}}
//
// Every size, number and duration of zero means its default. Passwords are of
// type [Secret], which no logger or encoder shows.
//
// # Sample services
//
// Echo, Math.Sum, Sleep, Fail and Task.Run; see [SampleMethods]. The topic clock
// tells the time; see [Server]. With the profile ovirt those of oVirt, too; see
// [OVirtMethods].
package app
