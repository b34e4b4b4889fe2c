package bench

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
)

// usage is what a process has used so far, by /proc.
type usage struct {
	cpuSeconds float64 // user and system
	writeBytes uint64  // that the kernel sent, or will send, to a disk for it
	rssBytes   uint64
	hwmBytes   uint64 // the most that rssBytes ever was
	anonBytes  uint64 // of rssBytes, what is no file
}

// clockTicks is what /proc counts CPU time in; Linux has shown this number to programs on every machine for decades.
const clockTicks = 100

var errProc = errors.New("not as proc(5) says")

// readUsage reads what the process pid has used.
func readUsage(pid int) (u usage, err error) {
	dir := "/proc/" + strconv.Itoa(pid) + "/"
	read := func(name string, parse func([]byte) error) {
		if err != nil {
			return
		}
		var b []byte
		if b, err = os.ReadFile(dir + name); err != nil {
			err = fmt.Errorf("what process %d has used: %w", pid, err)
			return
		}
		if err = parse(b); err != nil {
			err = fmt.Errorf("%s%s: %w", dir, name, err)
		}
	}
	read("stat", u.parseStat)
	read("status", u.parseStatus)
	read("io", u.parseIO)
	return u, err
}

// parseStat reads user and system time, fields 14 and 15. Field 2 is the program's name in parentheses and may hold
// anything.
func (u *usage) parseStat(b []byte) error {
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(fields) < 13 {
		return errProc
	}
	user, err := strconv.ParseUint(string(fields[11]), 10, 64)
	if err != nil {
		return err
	}
	system, err := strconv.ParseUint(string(fields[12]), 10, 64)
	u.cpuSeconds = float64(user+system) / clockTicks
	return err
}

func (u *usage) parseStatus(b []byte) error {
	return errors.Join(
		member(b, "VmRSS:", 1<<10, &u.rssBytes),
		member(b, "VmHWM:", 1<<10, &u.hwmBytes),
		member(b, "RssAnon:", 1<<10, &u.anonBytes),
	)
}

func (u *usage) parseIO(b []byte) error { return member(b, "write_bytes:", 1, &u.writeBytes) }

// member reads the number of the line that begins with name.
func member(b []byte, name string, unit uint64, value *uint64) error {
	for line := range bytes.Lines(b) {
		rest, ok := bytes.CutPrefix(line, []byte(name))
		if !ok {
			continue
		}
		fields := bytes.Fields(rest)
		if len(fields) == 0 {
			return errProc
		}
		n, err := strconv.ParseUint(string(fields[0]), 10, 64)
		*value = n * unit
		return err
	}
	return fmt.Errorf("%w: no %s", errProc, name)
}

// readMachineCPU returns the CPU seconds that all processes together have used, and what the hypervisor gave to others.
func readMachineCPU() (busySeconds, stolenSeconds float64, err error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, fmt.Errorf("what the machine has used: %w", err)
	}
	return parseMachineCPU(b)
}

// parseMachineCPU reads the first line: user nice system idle iowait irq softirq steal, in ticks.
func parseMachineCPU(b []byte) (busySeconds, stolenSeconds float64, err error) {
	line, _, _ := bytes.Cut(b, []byte{'\n'})
	fields := bytes.Fields(line)
	if len(fields) < 9 || string(fields[0]) != "cpu" {
		return 0, 0, fmt.Errorf("/proc/stat: %w", errProc)
	}
	var ticks [8]float64
	for i := range ticks {
		if ticks[i], err = strconv.ParseFloat(string(fields[i+1]), 64); err != nil {
			return 0, 0, fmt.Errorf("/proc/stat: %w", err)
		}
	}
	busy := ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6]
	return busy / clockTicks, ticks[7] / clockTicks, nil
}
