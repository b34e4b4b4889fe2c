package access

// Headers between a node that gives a name in a cluster and the owner of the cell that creates or deletes what has it
// (cluster/names). Both are believed from nodes alone.
const (
	// HeaderReservation is a request's: the number that the name is reserved under. Without one the owner answers 428 when
	// all else is in order, and says in HeaderName what must be reserved: "create product p1", "delete token gw-1".
	HeaderReservation = "Meterd-Reservation"
	HeaderName        = "Meterd-Name"
)
