package main

import (
	"context"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/meterd/meterd/client"
	"github.com/meterd/meterd/event"
)

// obey does what meterd tells this gateway until ctx ends.
func (g *gateway) obey(ctx context.Context) {
	_ = g.client.Commands(ctx, g.command) // It returns when it is told to.
}

// command obeys one command. It never waits for a device, so that one which does not read holds up nobody else's.
func (g *gateway) command(cmd client.Command) {
	g.meter.commanded(cmd)
	switch cmd.Kind {
	case client.CommandDisconnect:
		g.devices.disconnect(deviceName{cmd.Product, cmd.Device}, dismissal(cmd.Reason))
	case client.CommandRefresh:
		g.refreshes.Add(1) // Of any product: what is forgotten is learnt again with one delivery.
	}
}

// streamState logs when the stream of commands is lost and when it is back, not each try in between. It is called by
// one goroutine.
func (g *gateway) streamState(err error) {
	switch {
	case err != nil && !g.deaf:
		g.log.Warn("no commands are heard from meterd; trying again", "error", err)
	case err == nil && g.deaf:
		g.log.Info("commands are heard again")
	}
	g.deaf = err != nil
}

// dismissal returns the MQTT 5 reason for closing the connection of a device that was let in; its string is meterd's
// code. Of the codes that a DISCONNECT may carry there is none for "banned".
func dismissal(reason string) packets.Code {
	switch reason {
	case event.LicenseExhausted.String():
		return packets.Code{Code: packets.ErrQuotaExceeded.Code, Reason: reason}
	case event.RenewalOff.String(), event.NotActivated.String(), event.UnknownProduct.String():
		return packets.Code{Code: packets.ErrNotAuthorized.Code, Reason: reason}
	}
	return packets.Code{Code: packets.ErrAdministrativeAction.Code, Reason: reason}
}
