// Command load is the gateways of `make cluster`: it shows what a gateway notices when a node of a cluster dies.
//
//	one gateway an account ─ client, all addresses ─► any node ─► the owner of the account's cell
//	each second: events answered, how long the longest was waited for, how long nobody was answered
//	at the end:  what was answered beside what meterd counted, for each device
//
// Invariants:
//
//   - It makes its accounts, products and tokens itself, and can be started again on the same cluster.
//   - Its exit code says whether what was answered is what is counted. What was given up may be either, and is said.
package main
