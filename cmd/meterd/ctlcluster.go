package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/meterd/meterd/client"
	"github.com/meterd/meterd/cluster/forget"
	"github.com/meterd/meterd/cluster/overview"
)

func (c *ctl) clusterCommand() *cobra.Command {
	cmd := c.verb("cluster", "Show the nodes and cells of a cluster, move and repair cells, forget nodes",
		func(cmd *cobra.Command, _ []string) error { return c.showCluster(cmd) })
	move := c.verb("move CELL NODE", "Hand a cell over to another node, without losing anything",
		func(cmd *cobra.Command, args []string) error {
			said := fmt.Sprintf("cell %s is owned by node %s", args[0], args[1])
			return c.operateCell(cmd, args[0], "move", map[string]string{"node": args[1]}, said)
		})
	repair := c.verb("repair CELL",
		"Begin a new stream behind the longest copy of a cell that nobody can own, since its stream has lost something",
		func(cmd *cobra.Command, args []string) error {
			if !c.flags.Changed("timeout") {
				c.timeout = repairTimeout
			}
			said := fmt.Sprintf("cell %s has a new stream; a node owns it in a moment", args[0])
			return c.operateCell(cmd, args[0], "repair", nil, said)
		})
	gone := c.verb("forget NODE",
		"Forget a node that never comes back, or the NATS server that it had before its disk was emptied",
		func(cmd *cobra.Command, args []string) error { return c.forgetNode(cmd, args[0]) })
	cmd.AddCommand(move, repair, gone)
	return cmd
}

// forgetNode has a node forgotten, and says what was done.
func (c *ctl) forgetNode(cmd *cobra.Command, node string) error {
	if !c.flags.Changed("timeout") {
		c.timeout = repairTimeout
	}
	path := client.Path("v1", "cluster", "nodes", node, "forget")
	if c.output != asTable {
		return c.record(cmd, http.MethodPost, path, nil, nil)
	}
	b, err := c.call(cmd, http.MethodPost, path, nil, nil)
	if err != nil {
		return err
	}
	var answer forget.Answer
	if err := json.Unmarshal(b, &answer); err != nil {
		return fmt.Errorf("the answer is not what was forgotten: %w", err)
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), printable(answer.Said))
	return err
}

// operateCell makes a call about one cell.
func (c *ctl) operateCell(cmd *cobra.Command, cell, call string, body any, said string) error {
	if _, err := strconv.ParseUint(cell, 10, 32); err != nil {
		return fmt.Errorf("CELL %q: must be its number", cell)
	}
	path := client.Path("v1", "cluster", "cells", cell, call)
	if _, err := c.call(cmd, http.MethodPost, path, nil, body); err != nil {
		return err
	}
	if c.output != asTable {
		return nil
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), said)
	return err
}

// showCluster shows the answer as two tables, and a line for each copy that is not as it should be.
func (c *ctl) showCluster(cmd *cobra.Command) error {
	path := client.Path("v1", "cluster")
	if c.output != asTable {
		return c.record(cmd, http.MethodGet, path, nil, nil)
	}
	answer, err := c.call(cmd, http.MethodGet, path, nil, nil)
	if err != nil {
		return err
	}
	var m overview.Map
	if err := json.Unmarshal(answer, &m); err != nil {
		return fmt.Errorf("the answer is no cluster: %w", err)
	}
	return writeCluster(cmd.OutOrStdout(), &m)
}

func writeCluster(w io.Writer, m *overview.Map) error {
	nodes := newTable(w, []column{{title: "NODE"}, {title: "STATE"}, {title: "ADDRESS"}, {title: "VERSION"}}, 0)
	for _, n := range m.Nodes {
		nodes.line([]string{cell(n.Node), cell(n.State), cell(n.Address), cell(n.Version)})
	}
	if err := nodes.flush(); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	cells := newTable(w, []column{
		{title: "CELL"},
		{title: "STATE"},
		{title: "OWNER"},
		{title: "EPOCH"},
		{title: "GROUP"},
		{title: "DEVICES"},
		{title: "COPIES, AND GROUPS THAT THEY LACK"},
	}, 0)
	var reasons []string
	for _, c := range m.Cells {
		var copies []string
		for _, r := range c.Replicas {
			if r.Node == c.Owner {
				continue
			}
			text := cell(r.Node) + " " + strconv.FormatUint(r.LagGroups, 10)
			if r.Role != "standby" {
				text += " " + cell(string(r.Role))
			}
			copies = append(copies, text)
			if r.Why != "" {
				reasons = append(reasons, fmt.Sprintf("cell %d on %s: %s", c.Cell, cell(r.Node), printable(r.Why)))
			}
		}
		cells.line([]string{
			strconv.Itoa(c.Cell), cell(c.State), cell(c.Owner), strconv.FormatUint(c.Epoch, 10),
			strconv.FormatUint(c.Group, 10), strconv.FormatUint(c.Devices, 10), cell(strings.Join(copies, ", ")),
		})
	}
	if err := cells.flush(); err != nil {
		return err
	}
	for i, reason := range reasons {
		if i == 0 {
			reason = "\n" + reason
		}
		if _, err := fmt.Fprintln(w, reason); err != nil {
			return err
		}
	}
	return nil
}
