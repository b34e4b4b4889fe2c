package bench

import (
	"errors"
	"fmt"

	"github.com/prometheus/procfs"
)

// usage is what a process has used so far, by /proc.
type usage struct {
	cpuSeconds float64 // user and system
	writeBytes uint64  // that the kernel wrote, or will write, to a disk for it
	rssBytes   uint64
	hwmBytes   uint64 // the maximum of rssBytes
	anonBytes  uint64 // of rssBytes: heap, stacks, and the device table
	fileBytes  uint64 // of rssBytes: mapped files, the program's own included
}

// readUsage reads what the process pid has used.
func readUsage(pid int) (usage, error) {
	p, err := procfs.NewProc(pid)
	if err != nil {
		return usage{}, fmt.Errorf("what process %d has used: %w", pid, err)
	}
	stat, statErr := p.Stat()
	status, statusErr := p.NewStatus()
	io, ioErr := p.IO()
	if err := errors.Join(statErr, statusErr, ioErr); err != nil {
		return usage{}, fmt.Errorf("what process %d has used: %w", pid, err)
	}
	return usage{
		cpuSeconds: stat.CPUTime(), writeBytes: io.WriteBytes, rssBytes: status.VmRSS, hwmBytes: status.VmHWM,
		anonBytes: status.RssAnon, fileBytes: status.RssFile,
	}, nil
}

// readMachineCPU returns the CPU seconds that all processes together have used, and what the hypervisor gave to others.
func readMachineCPU() (busySeconds, stolenSeconds float64, err error) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return 0, 0, fmt.Errorf("what the machine has used: %w", err)
	}
	stat, err := fs.Stat()
	if err != nil {
		return 0, 0, fmt.Errorf("what the machine has used: %w", err)
	}
	cpu := stat.CPUTotal
	return cpu.User + cpu.Nice + cpu.System + cpu.IRQ + cpu.SoftIRQ, cpu.Steal, nil
}
