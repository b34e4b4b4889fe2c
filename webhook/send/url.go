package send

import (
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// CheckURL refuses what is no URL of a webhook. That a literal address is refused here only tells it early: what a name
// resolves to is looked at when it is called. allowPrivate allows addresses that are not of the public internet.
func CheckURL(text string, allowPrivate bool) error {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return errors.New("must be a URL")
	case u.Scheme != "https" && u.Scheme != "http":
		return errors.New("must begin with https:// or http://")
	case u.Host == "" || u.Hostname() == "":
		return errors.New("must name a host")
	case u.User != nil:
		return errors.New("must not hold a user or password; messages are signed instead")
	case u.Fragment != "" || strings.Contains(text, "#"):
		return errors.New("must not have a fragment: nobody is sent it")
	case !portIsGood(u.Port()):
		return errors.New("must have a port from 1 to 65535")
	case allowPrivate:
		return nil
	}
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return errors.New("names this machine; --webhook-allow-private lets webhooks reach it")
	}
	if a, err := netip.ParseAddr(host); err == nil && IsInside(a) {
		return errors.New("is no address of the public internet; --webhook-allow-private lets webhooks reach it")
	}
	return nil
}

func portIsGood(text string) bool {
	if text == "" {
		return true
	}
	port, err := strconv.ParseUint(text, 10, 16)
	return err == nil && port > 0
}
