package embedded

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/meterd/meterd/retention/disk"
)

// Options says what one server is.
type Options struct {
	Cluster string   // name of the cluster
	Node    string   // name of the node
	Dir     string   // where it stores; made if it is missing
	Listen  string   // address for the other servers; empty: it is alone
	Routes  []string // addresses of all servers, its own too
	Secret  string   // what the servers of the cluster know each other by
	Logger  *slog.Logger

	lazy bool // for the counter-proof of a test: it syncs as servers do by default, every two minutes
}

// Validate reports every fault of the options at once.
func (o Options) Validate() error {
	var errs []error
	if o.Node == "" || o.Dir == "" {
		errs = append(errs, errors.New("a server has a node and a directory"))
	}
	if o.Listen == "" {
		return errors.Join(errs...)
	}
	if o.Cluster == "" || o.Secret == "" {
		errs = append(errs, errors.New("servers that find each other have a cluster and a secret"))
	}
	for _, a := range append([]string{o.Listen}, o.Routes...) {
		if _, _, err := addressOf(a); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func addressOf(address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, fmt.Errorf("address %q: %w", address, err)
	}
	if port, err = strconv.Atoi(text); err != nil || port < 1 || port > 65535 {
		return "", 0, fmt.Errorf("address %q: its port is no number from 1 to 65535", address)
	}
	return host, port, nil
}

// Server is a running server and this process's connections to it.
type Server struct {
	server       *server.Server
	logger       *slog.Logger
	conn, system *nats.Conn
}

const (
	ownUser    = "meterd"
	systemUser = "system"
	loopback   = "127.0.0.1"
)

// Start starts a server and returns when its JetStream answers, which in a cluster takes a majority of its servers. It
// waits for them until ctx ends: one that gave up would be missing in the majority.
func Start(ctx context.Context, o Options) (*Server, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	name, err := o.serverName()
	if err != nil {
		return nil, err
	}
	password := rand.Text()
	settings, err := o.settings(name, password)
	if err != nil {
		return nil, err
	}
	settings.JetStream, settings.StoreDir, settings.SyncAlways = true, o.Dir, !o.lazy
	settings.JetStreamMaxMemory, settings.JetStreamMaxStore = memoryBytesMax, -1
	s, err := o.begin(settings)
	if err != nil {
		return nil, err
	}
	if err = s.connect(ctx, password); err == nil {
		err = s.awaitJetStream(ctx)
	}
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("start the NATS server of node %q: %w", o.Node, err)
	}
	return s, nil
}

// begin starts a server.
func (o Options) begin(settings *server.Options) (*Server, error) {
	ns, err := server.NewServer(settings)
	if err != nil {
		return nil, fmt.Errorf("make the NATS server of node %q: %w", o.Node, err)
	}
	ns.SetLoggerV2(newLines(o.Logger), false, false, false)
	ns.Start()
	return &Server{server: ns, logger: o.Logger}, nil
}

// settings are the options of a server that stores nothing.
func (o Options) settings(name, password string) (*server.Options, error) {
	settings := &server.Options{
		ServerName: name, DontListen: true, NoSigs: true, NoLog: true, SystemAccount: server.DEFAULT_SYSTEM_ACCOUNT,
	}
	system := server.NewAccount(server.DEFAULT_SYSTEM_ACCOUNT)
	settings.Accounts = []*server.Account{system}
	settings.Users = []*server.User{
		{Username: ownUser, Password: password}, {Username: systemUser, Password: password, Account: system},
	}
	if o.Listen == "" {
		return settings, nil
	}
	host, port, err := addressOf(o.Listen)
	if err != nil {
		return nil, err
	}
	// The server opens its routes only behind a port for clients. Nobody else knows the password for it.
	settings.DontListen, settings.Host, settings.Port = false, loopback, server.RANDOM_PORT
	settings.Cluster = server.ClusterOpts{
		Name: o.Cluster, Host: host, Port: port, Username: ownUser, Password: o.Secret, NoAdvertise: true,
	}
	for _, a := range o.Routes {
		settings.Routes = append(settings.Routes, &url.URL{
			Scheme: "nats-route", Host: a, User: url.UserPassword(ownUser, o.Secret),
		})
	}
	return settings, nil
}

// nameFile holds the random part of a server's name.
const nameFile = "server-name"

// serverName returns the name of the server whose directory this is, and gives it one if it is new.
func (o Options) serverName() (string, error) {
	if err := disk.MakeDir(o.Dir); err != nil {
		return "", err
	}
	name, err := NameIn(o.Dir)
	if name != "" || err != nil {
		return name, err
	}
	name = o.newName()
	return name, disk.WriteSynced(filepath.Join(o.Dir, nameFile), []byte(name+"\n"))
}

// newName returns a name that no server has had.
func (o Options) newName() string {
	var random [nameBytes]byte
	rand.Read(random[:]) // It never fails: crypto/rand ends the process instead.
	return o.Node + "-" + hex.EncodeToString(random[:])
}

// NameIn returns the name of the server whose directory this is, empty if there was none yet.
func NameIn(dir string) (string, error) {
	path := filepath.Join(dir, nameFile)
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("read %q: %w", path, err)
	}
	return strings.TrimSpace(string(b)), nil
}

// connect makes the connections within the process.
func (s *Server) connect(ctx context.Context, password string) (err error) {
	if !s.server.ReadyForConnections(readyMax) {
		return errors.New("it takes no connections: look at the lines of its log above")
	}
	end := time.Now().Add(readyMax)
	dial := func(user string) (*nats.Conn, error) {
		for {
			conn, err := nats.Connect("", nats.InProcessServer(s.server), nats.UserInfo(user, password),
				nats.MaxReconnects(-1), nats.ReconnectBufSize(-1))
			if err == nil || time.Now().After(end) {
				return conn, err
			}
			select { // Either side gives up after 2 s, for which a machine may stand still.
			case <-time.After(readyEvery):
			case <-ctx.Done():
				return nil, err
			}
		}
	}
	if s.conn, err = dial(ownUser); err != nil {
		return fmt.Errorf("connect to it: %w", err)
	}
	if s.system, err = dial(systemUser); err != nil {
		return fmt.Errorf("connect to its system account: %w", err)
	}
	return nil
}

func (s *Server) awaitJetStream(ctx context.Context) error {
	js, err := jetstream.New(s.conn)
	if err != nil {
		return fmt.Errorf("use JetStream: %w", err)
	}
	tick, tell := time.NewTicker(readyEvery), time.NewTicker(tellEvery)
	defer tick.Stop()
	defer tell.Stop()
	for {
		ask, stop := context.WithTimeout(ctx, askMax)
		_, err := js.AccountInfo(ask)
		stop()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-tell.C:
			s.logger.Warn("JetStream does not answer: are a majority of the servers of the cluster running?", "error", err)
		case <-ctx.Done():
			return fmt.Errorf("JetStream does not answer: %w", ctx.Err())
		}
	}
}

// Conn returns the connection for streams. Close closes it.
func (s *Server) Conn() *nats.Conn { return s.conn }

// System returns the connection of the system account. Close closes it.
func (s *Server) System() *nats.Conn { return s.system }

// Name returns the server's name.
func (s *Server) Name() string { return s.server.Name() }

// ID returns what other servers know it by: a hash of its name.
func (s *Server) ID() string { return s.server.NodeName() }

// Count returns how many servers there are that this one has a connection to, itself among them.
func (s *Server) Count() int { return s.server.NumRemotes() + 1 }

// Close ends the connections and the server, and returns when it has let go of its files.
func (s *Server) Close() {
	if s.conn != nil {
		s.conn.Close()
	}
	if s.system != nil {
		s.system.Close()
	}
	s.server.Shutdown()
	s.server.WaitForShutdown()
}
