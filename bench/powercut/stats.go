package powercut

// Stats counts what the file system saw since it was mounted. A test asserts on FileSyncs that its syncs arrived.
type Stats struct {
	// fsync, fdatasync, msync and O_SYNC writes that were answered, ignored ones included
	FileSyncs  uint64 `json:"file_syncs"`
	DirSyncs   uint64 `json:"dir_syncs"`   // fsync of a directory, alike
	Ignored    uint64 `json:"ignored"`     // of both: answered with success under IgnoreSync
	Failed     uint64 `json:"failed"`      // of FileSyncs: answered with EIO as FailSync asked
	Reads      uint64 `json:"reads"`       // READ requests: what the kernel did not have in its page cache
	Writes     uint64 `json:"writes"`      // WRITE requests, those of mapped pages included
	WriteBytes uint64 `json:"write_bytes"` // their bytes
	KeptBytes  uint64 `json:"kept_bytes"`  // bytes of files written to the lower directory
	KeptOps    uint64 `json:"kept_ops"`    // changes of names applied to the lower directory
	EarlyBytes uint64 `json:"early_bytes"` // of KeptBytes: written early by Seed
	EarlyOps   uint64 `json:"early_ops"`   // of KeptOps: applied early by Seed
	DirtyBytes int64  `json:"dirty_bytes"` // memory of pages held back now
	PendingOps int    `json:"pending_ops"` // changes of names held back now
	// writes and changes answered with ENOSPC because a limit of this package was hit
	Refused uint64 `json:"refused"`
}
