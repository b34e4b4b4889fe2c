// Package embedded runs a NATS server in this process, so that three nodes of meterd are a cluster without anything
// else to install.
//
//	meterd n1 ── in process ── server n1-3f9a… ══ routes ══ server n2-… ══ server n3-…
//	                              │
//	                              └─ DIR/nats: Raft logs and streams, synced before they are acknowledged
//
// Invariants:
//
//   - It syncs always: an acknowledged message is on the disks of a majority.
//   - Nobody connects to it but this process and the servers of the same cluster, which know its secret. In a cluster
//     the server wants a port for clients: it is one of the loopback address, with a password that nobody is told.
//   - Its name has a random part that lies in its directory. A node whose disk was emptied comes back under another
//     name, as a new member: under the old one it could vote without knowing what it had acknowledged.
package embedded
