// Package overview shows how a cluster stands, as far as the node that is asked has heard: GET /v1/cluster, metrics,
// and the calls by which an operator moves and repairs a cell, and forgets a node.
//
//	board: the newest of each node ──► Of ──► Map: nodes · cells: owner, epoch, state, replicas and their lag
//	                                           ├─► GET /v1/cluster       any valid token
//	                                           ├─► meterd_cluster_…      the alert rules
//	                                           └─► meterd ctl cluster, the console's page, clients that follow it
//
// Invariants:
//
//   - It is a picture: a second old, or five of a node that has fallen silent. Nothing is decided by it.
//   - It names no account, product or device, so a token that is bound to an account may see it.
//   - Tokens are looked up in this node's copy of cell 0. Whoever looks at a cluster that does not work must see it on
//     a node that reaches no other.
package overview
