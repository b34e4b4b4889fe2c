package api

import (
	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/access"
)

type whoamiAnswer struct {
	Token     string      `json:"token"`
	Role      access.Role `json:"role"`
	Account   string      `json:"account,omitempty"`    // without: all
	ExpiresAt *instant    `json:"expires_at,omitempty"` // without: never
	Region    string      `json:"region"`
	Version   string      `json:"version"`
	IsDemo    bool        `json:"demo,omitempty"`
	Cluster   string      `json:"cluster,omitempty"` // without: the daemon is alone
}

// whoami answers GET /v1/whoami: what the token is, and of which daemon.
func (c *call) whoami() error {
	return c.answer(fasthttp.StatusOK, whoamiAnswer{
		Token: c.token.Name, Role: c.token.Role, Account: c.token.Account, ExpiresAt: maybe(instant(c.token.ExpiresAtMs)),
		Region: c.catalogue.Region, Version: c.o.Version, IsDemo: c.o.Demo,
		Cluster: c.o.Cluster,
	})
}
