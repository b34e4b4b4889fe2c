package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

const (
	// gateways is how many accounts there are, each with one gateway; devices is how many each has.
	gateways = 3
	devices  = 20
	// messageEvery is how often a device sends: slowly enough to be read along, beside what else the machine does.
	messageEvery = 200 * time.Millisecond
	// lookEvery is how often a line is printed.
	lookEvery = time.Second
	// askFor is longer than another node needs to go on.
	askFor = time.Minute
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run() error {
	urls := flag.String("url", "", "addresses of all nodes, with commas between")
	tokenFile := flag.String("token-file", "", "file with the administrator's token")
	flag.Parse()
	secret, err := os.ReadFile(*tokenFile)
	if err != nil {
		return fmt.Errorf("--token-file: %w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	l, err := newLoad(ctx, *urls, strings.TrimSpace(string(secret)))
	if err != nil {
		return err
	}
	l.run(ctx)
	return l.compare()
}
