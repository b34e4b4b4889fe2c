// Command meterd meters and licenses the devices of an IoT platform: it is asked about every event of every device,
// answers accepted or denied at once, and loses nothing that it acknowledged.
//
//	main ─► serve: data directory ─► log, ledger, checkpoints ─► engine (recovers) ─► HTTP ─► signals ─► drain ─► close
//	     │   └► --demo: a week through an engine with a clock of its own, before; package demo
//	     ├► ctl: package client ─► the administration of a running daemon ─► tables or JSON
//	     ├► bench: package bench ─► a daemon of its own, load, checks, figures
//	     ├► verify: data directory, read only ─► package usage/verify ─► figures, and the first difference
//	     ├► backup, restore: package backup ─► a running daemon's data directory ─► a directory or S3 ─► a data directory
//	     └► token create: data directory of a stopped daemon ─► engine (recovers) ─► a change in the log ─► the secret
//
// Only this folder reads flags, environment and signals, and only main ends the process.
package main
