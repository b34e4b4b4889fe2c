package console

import (
	"encoding/json"

	"github.com/meterd/meterd/license"
)

type auditAnswer struct {
	At     instant         `json:"at"`
	Token  string          `json:"token"`
	Action string          `json:"action"`
	Target string          `json:"target"`
	Detail json.RawMessage `json:"detail"`
}

// showAudit answers GET /v1/audit, newest first. A cursor is the control sequence of the last entry shown.
func (c *call) showAudit() error {
	limit, err := c.limit(pageDefault)
	if err != nil {
		return err
	}
	var before uint64
	if _, err := c.cursorNumbers(&before); err != nil {
		return err
	}
	list, last, more := []auditAnswer{}, uint64(0), false
	err = c.engine.Audit(before, func(e license.AuditEntry) bool {
		if len(list) == limit {
			more = true
			return false
		}
		list = append(list, auditAnswer{At: instant(e.AtMs), Token: e.Token, Action: e.Action, Target: e.Target, Detail: e.Detail})
		last = e.Seq
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
