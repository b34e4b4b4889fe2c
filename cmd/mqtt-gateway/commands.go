package main

import (
	"context"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/meterd/meterd/client"
	"github.com/meterd/meterd/event"
)

// followCommands does what meterd tells this gateway until ctx ends.
func (g *gateway) followCommands(ctx context.Context) {
	commands := g.client.Commands()
	for {
		select {
		case cmd := <-commands: // It is closed with the client, which ends later.
			g.command(cmd)
		case <-ctx.Done():
			return
		}
	}
}

// command does what one command says. It never waits for a device, so that one which does not read delays no other.
func (g *gateway) command(cmd client.Command) {
	g.meter.commanded(cmd)
	switch cmd.Kind {
	case client.CommandDisconnect:
		g.devices.disconnect(deviceName{cmd.Product, cmd.Device}, disconnectReason(cmd.Reason))
	case client.CommandRefresh:
		g.refreshes.Add(1) // Of any product: what is forgotten is learnt again with one delivery.
	}
}

// streamState logs when the stream of commands is lost and when it is back, not each try in between. It is called by
// one goroutine.
func (g *gateway) streamState(err error) {
	switch {
	case err != nil && !g.isStreamLost:
		g.log.Warn("the stream of commands from meterd is lost; trying again", "error", err)
	case err == nil && g.isStreamLost:
		g.log.Info("the stream of commands from meterd is open again")
	}
	g.isStreamLost = err != nil
}

// disconnectReason returns the MQTT 5 reason for closing the connection of a device that was let in; its string is
// meterd's code. None of the codes that a DISCONNECT may carry means "banned".
func disconnectReason(reason string) packets.Code {
	switch reason {
	case event.LicenseExhausted.String():
		return packets.Code{Code: packets.ErrQuotaExceeded.Code, Reason: reason}
	case event.RenewalOff.String(), event.NotActivated.String(), event.UnknownProduct.String():
		return packets.Code{Code: packets.ErrNotAuthorized.Code, Reason: reason}
	}
	return packets.Code{Code: packets.ErrAdministrativeAction.Code, Reason: reason}
}
