package main

import (
	"strings"

	mqtt "github.com/mochi-mqtt/server/v2"

	"github.com/meterd/meterd/event"
)

// What names a device (--identity).
const (
	identityClientID = "client-id" // username = product, client id = device
	identityUsername = "username"  // username = "product/device", the client id is free
)

// deviceName names a device for meterd.
type deviceName struct{ product, device string }

// identify returns the device that a CONNECT speaks for, and the id of its MQTT session; false when the names are none.
// A session is named after product and device (a "/" stands in neither), because the broker knows sessions by this id
// alone and a device of another product must not take it over.
func identify(identity string, cl *mqtt.Client) (name deviceName, session string, ok bool) {
	username := string(cl.Properties.Username)
	if identity == identityUsername {
		product, device, found := strings.Cut(username, "/")
		name = deviceName{product, device}
		session = username + "/" + cl.ID
		ok = found
	} else {
		name = deviceName{username, cl.ID}
		session = username + "/" + cl.ID
		ok = cl.Properties.Props.AssignedClientID == "" // An id that the broker made up names no device.
	}
	return name, session, ok && event.ValidName([]byte(name.product)) && event.ValidName([]byte(name.device))
}
