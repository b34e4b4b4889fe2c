package metric

import (
	"bytes"
	"strings"

	"github.com/VictoriaMetrics/metrics"
)

// processFamily is one of the families that the library writes of the process: without help, and some as gauges that
// are counters. What is not in this list is left out.
type processFamily struct{ name, kind, help string }

var processFamilies = []processFamily{
	{"go_gc_cpu_seconds_total", "counter", "Processor time that the garbage collector took, estimated by the runtime."},
	{"go_gc_duration_seconds", "summary", "How long the pauses of garbage collections took."},
	{"go_gc_pauses_seconds", "histogram", "How long the program was stopped for the garbage collector."},
	{"go_gomaxprocs", "gauge", "How many threads may run Go code at once."},
	{"go_goroutines", "gauge", "Goroutines that there are."},
	{"go_info", "gauge", "The Go version that the program was built with."},
	{"go_memlimit_bytes", "gauge", "The memory limit that the runtime keeps to (GOMEMLIMIT)."},
	{"go_memstats_alloc_bytes_total", "counter", "Bytes that were allocated on the Go heap, ever."},
	{"go_memstats_frees_total", "counter", "Objects of the Go heap that were freed."},
	{"go_memstats_heap_alloc_bytes", "gauge", "Bytes of the Go heap that objects take."},
	{"go_memstats_heap_idle_bytes", "gauge", "Bytes of the Go heap that hold no object."},
	{"go_memstats_heap_inuse_bytes", "gauge", "Bytes of the Go heap in spans that hold objects."},
	{"go_memstats_heap_objects", "gauge", "Objects on the Go heap."},
	{"go_memstats_heap_released_bytes", "gauge", "Bytes of the Go heap that were given back to the system."},
	{"go_memstats_heap_sys_bytes", "gauge", "Bytes of address space that the Go heap has."},
	{"go_memstats_last_gc_time_seconds", "gauge", "When the last garbage collection ended, in seconds since 1970."},
	{"go_memstats_mallocs_total", "counter", "Objects that were allocated on the Go heap, ever."},
	{"go_memstats_next_gc_bytes", "gauge", "The size of the Go heap at which the next garbage collection begins."},
	{"go_memstats_stack_inuse_bytes", "gauge", "Bytes that the stacks of goroutines take."},
	{"go_memstats_sys_bytes", "gauge", "Bytes of address space that the Go runtime has."},
	{"go_mutex_wait_seconds_total", "counter", "Time that goroutines waited for locks."},
	{"go_sched_latencies_seconds", "histogram", "How long goroutines that could run waited for a thread."},
	{"go_threads", "gauge", "Threads that the Go runtime made."},
	{"process_cpu_seconds_system_total", "counter", "Processor time that the kernel took for the process."},
	{"process_cpu_seconds_total", "counter", "Processor time of the process, kernel and user together."},
	{"process_cpu_seconds_user_total", "counter", "Processor time of the process outside the kernel."},
	{"process_io_read_bytes_total", "counter", "Bytes that read calls returned, cached ones and sockets included."},
	{"process_io_read_syscalls_total", "counter", "Read calls of the process."},
	{"process_io_storage_read_bytes_total", "counter", "Bytes that were read from disks for the process."},
	{"process_io_storage_written_bytes_total", "counter", "Bytes that the process had written to disks."},
	{"process_io_write_syscalls_total", "counter", "Write calls of the process."},
	{"process_io_written_bytes_total", "counter", "Bytes that write calls took, sockets included."},
	{"process_major_pagefaults_total", "counter", "Page faults that had to wait for a disk."},
	{"process_minor_pagefaults_total", "counter", "Page faults that needed no disk."},
	{"process_num_threads", "gauge", "Threads of the process."},
	{
		"process_pressure_cpu_stalled_seconds_total", "counter",
		"Time in which everything in the control group waited for a processor.",
	},
	{
		"process_pressure_cpu_waiting_seconds_total", "counter",
		"Time in which something in the control group waited for a processor.",
	},
	{
		"process_pressure_io_stalled_seconds_total", "counter",
		"Time in which everything in the control group waited for input or output.",
	},
	{
		"process_pressure_io_waiting_seconds_total", "counter",
		"Time in which something in the control group waited for input or output.",
	},
	{
		"process_pressure_memory_stalled_seconds_total", "counter",
		"Time in which everything in the control group waited for memory.",
	},
	{
		"process_pressure_memory_waiting_seconds_total", "counter",
		"Time in which something in the control group waited for memory.",
	},
	{"process_resident_memory_anon_bytes", "gauge", "Resident bytes that no file is behind."},
	{"process_resident_memory_bytes", "gauge", "Bytes of memory that the process has."},
	{"process_resident_memory_file_bytes", "gauge", "Resident bytes of mapped files."},
	{"process_resident_memory_peak_bytes", "gauge", "The most bytes of memory that the process has had."},
	{"process_start_time_seconds", "gauge", "When the process started, in seconds since 1970."},
	{"process_virtual_memory_bytes", "gauge", "Bytes of address space that the process has."},
}

// writeProcess writes what the runtime and the kernel say of the process.
func writeProcess(b *bytes.Buffer) {
	var written bytes.Buffer
	metrics.WriteProcessMetrics(&written)
	samples := map[string][]string{}
	for line := range strings.Lines(written.String()) {
		name := line[:max(0, strings.IndexAny(line, "{ "))]
		samples[name] = append(samples[name], line)
	}
	for _, f := range processFamilies {
		lines := samples[f.name]
		if f.kind == "histogram" || f.kind == "summary" {
			for _, end := range []string{"_bucket", "_sum", "_count"} {
				lines = append(lines, samples[f.name+end]...)
			}
		}
		if len(lines) > 0 {
			writeHead(b, f.name, f.help, f.kind)
			b.WriteString(strings.Join(lines, ""))
		}
	}
}
