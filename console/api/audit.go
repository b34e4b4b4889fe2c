package api

import (
	"encoding/json"

	"github.com/meterd/meterd/license"
)

type auditAnswer struct {
	Number uint64          `json:"number"` // of the change: where a list goes on behind it
	At     instant         `json:"at"`
	Token  string          `json:"token"`
	Action string          `json:"action"`
	Target string          `json:"target"`
	Detail json.RawMessage `json:"detail"`
}

// showAudit answers GET /v1/audit, newest first; to a token that is bound to an account with the entries about it. A
// cursor is the number of the last change looked at: a page may have less than its limit, and none at all, and yet a
// next one.
func (c *call) showAudit() error {
	limit, err := c.limit(pageDefault)
	if err != nil {
		return err
	}
	var before uint64
	if _, err := c.cursorNumbers(&before); err != nil {
		return err
	}
	list, last, scanned, more := []auditAnswer{}, uint64(0), 0, false
	err = c.queries.Audit(before, func(e license.AuditEntry) bool {
		if len(list) == limit || scanned == scanAudit {
			more = true
			return false
		}
		scanned, last = scanned+1, e.Seq
		if c.token.Account != "" && c.catalogue.AccountOf(&e) != c.token.Account {
			return true
		}
		list = append(list, auditAnswer{
			Number: e.Seq, At: instant(e.AtMs), Token: e.Token, Action: e.Action, Target: e.Target, Detail: e.Detail,
		})
		return true
	})
	switch {
	case err != nil:
		return err
	case more:
		return c.answerPage("entries", list, cursorOf(last))
	}
	return c.answerPage("entries", list, nil)
}
