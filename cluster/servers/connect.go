package servers

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"

	"github.com/nats-io/nats.go"
)

// Options says where the operator's servers are, and who meterd is to them.
type Options struct {
	URLs        []string // nats://HOST:PORT or tls://HOST:PORT; a user and password may be in them
	CA          string   // file of the certificates that theirs are proved by; empty: the machine's
	Cert, Key   string   // files of this node's certificate; empty: none
	Creds       string   // file of credentials of the account that the streams lie in
	SystemCreds string   // file of credentials of the system account; or else
	Monitors    []string // addresses of the monitoring of all servers
	Name        string   // of this connection, as servers show it
	Logger      *slog.Logger
}

// Validate reports every fault of the options at once.
func (o *Options) Validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(o.URLs) == 0 {
		fault("--nats-url: name at least one server")
	}
	for _, text := range o.URLs {
		u, err := url.Parse(text)
		switch {
		case err != nil: // It may hold a password: it is not repeated.
			fault("--nats-url: it is no URL")
		case u.Scheme != "nats" && u.Scheme != "tls" || u.Host == "":
			fault("--nats-url %q: must be nats://HOST:PORT or tls://HOST:PORT", u.Redacted())
		}
	}
	if (o.Cert == "") != (o.Key == "") {
		fault("--nats-cert and --nats-key belong together")
	}
	for _, address := range o.Monitors {
		if err := validMonitor(address); err != nil {
			fault("--nats-monitor: %w", err)
		}
	}
	if len(o.Monitors) == 0 && o.SystemCreds == "" {
		fault("--nats-url needs --nats-monitor or --nats-system-creds: what the servers do with their disks must be seen")
	}
	return errors.Join(errs...)
}

// Link is the connection to the servers, the operator's or meterd's own.
type Link struct {
	conn, system *nats.Conn
	ask          Source
	close        func()
}

// Own returns the link to servers that processes of meterd have in them, want() of them now, of which one is in this
// process. end ends it and its connections.
func Own(conn, system *nats.Conn, want func() int, end func()) *Link {
	return &Link{conn: conn, ask: System(system, want), close: end}
}

// Connect connects; while nobody answers it goes on trying.
func Connect(o Options) (l *Link, err error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	l = &Link{}
	defer func() {
		if err != nil {
			l.Close()
			l = nil
		}
	}()
	if l.conn, err = o.dial(o.Creds); err != nil {
		return l, err
	}
	l.ask = Monitors(o.Monitors)
	if o.SystemCreds != "" {
		if l.system, err = o.dial(o.SystemCreds); err != nil {
			return l, err
		}
		l.ask = System(l.system, func() int { return serversMax })
	}
	return l, nil
}

func (o *Options) dial(creds string) (*nats.Conn, error) {
	settings := []nats.Option{
		nats.Name(o.Name), nats.MaxReconnects(-1), nats.ReconnectBufSize(-1), nats.RetryOnFailedConnect(true),
		nats.PingInterval(pingEvery), nats.MaxPingsOutstanding(pingsMax),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				o.Logger.Warn("the connection to NATS broke, it is made again", "error", err)
			}
		}),
		nats.ConnectHandler(o.connected), nats.ReconnectHandler(o.connected),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			o.Logger.Warn("the connection to NATS", "error", err)
		}),
	}
	if o.CA != "" {
		settings = append(settings, nats.RootCAs(o.CA))
	}
	if o.Cert != "" {
		settings = append(settings, nats.ClientCert(o.Cert, o.Key))
	}
	if creds != "" {
		settings = append(settings, nats.UserCredentials(creds))
	}
	c, err := nats.Connect(strings.Join(o.URLs, ","), settings...)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	return c, nil
}

func (o *Options) connected(c *nats.Conn) {
	o.Logger.Info("connected to NATS", "server", c.ConnectedServerName(), "address", c.ConnectedAddr())
	host, _, _ := net.SplitHostPort(c.ConnectedAddr()) // An address that is none is not loopback.
	ip := net.ParseIP(host)
	if _, err := c.TLSConnectionState(); err != nil && (ip == nil || !ip.IsLoopback()) {
		o.Logger.Warn("what goes to NATS is not encrypted: name the servers by tls://", "server", c.ConnectedServerName())
	}
}

// Conn returns the connection for streams. It is closed by Close.
func (l *Link) Conn() *nats.Conn { return l.conn }

// Ask asks all servers what they are, as far as they can be seen.
func (l *Link) Ask() Source { return l.ask }

// Close ends the connections.
func (l *Link) Close() {
	if l.close != nil {
		l.close()
		return
	}
	for _, c := range []*nats.Conn{l.conn, l.system} {
		if c != nil {
			c.Close()
		}
	}
}
