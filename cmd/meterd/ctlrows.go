package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
)

// rowsAndRest shows an answer that has a list as one of its members: the list as rows, and the rest as a record below.
func (c *ctl) rowsAndRest(cmd *cobra.Command, path string, query url.Values, member string, columns []column) error {
	if c.output != asTable {
		return c.record(cmd, http.MethodGet, path, query, nil)
	}
	answer, err := c.call(cmd, http.MethodGet, path, query, nil)
	if err != nil {
		return err
	}
	var members map[string]json.RawMessage
	var rows []json.RawMessage
	if err := json.Unmarshal(answer, &members); err != nil {
		return fmt.Errorf("the answer is no object: %w", err)
	}
	if err := json.Unmarshal(members[member], &rows); err != nil {
		return fmt.Errorf("%s of the answer: %w", member, err)
	}
	out := newTable(cmd.OutOrStdout(), columns, 0)
	for _, row := range rows {
		if err := out.element(row); err != nil {
			return err
		}
	}
	if err := out.end(true); err != nil {
		return err
	}
	delete(members, member)
	rest, err := json.Marshal(members)
	if err != nil {
		return fmt.Errorf("the rest of the answer: %w", err)
	}
	if _, err := fmt.Fprintln(cmd.OutOrStdout()); err != nil {
		return err
	}
	return writeRecord(cmd.OutOrStdout(), rest)
}
