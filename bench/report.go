package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// reportFormat is raised when a member of a Report changes its meaning.
const reportFormat = 2

// Report is everything that a run measured, and what is needed to compare it. Times are in seconds, sizes in bytes.
type Report struct {
	Format int       `json:"format"`
	At     time.Time `json:"at"`
	Commit string    `json:"commit"` // of the daemon; a "+" behind it: the tree had changes
	// AgainstCommit is that of the other daemon, if two are compared.
	AgainstCommit string    `json:"against_commit,omitempty"`
	Machine       Machine   `json:"machine"`
	Settings      Settings  `json:"settings"`
	Results       []*Result `json:"results"`
	Ratios        []Ratio   `json:"ratios,omitempty"`
}

// Settings are the options of the run that its figures depend on.
type Settings struct {
	URL                    string  `json:"url,omitempty"`     // empty: bench started the daemon
	Against                string  `json:"against,omitempty"` // the other binary, if two are compared
	Devices                int     `json:"devices"`
	DurationSeconds        float64 `json:"duration_seconds"`
	WarmupSeconds          float64 `json:"warmup_seconds"`
	CheckpointEverySeconds float64 `json:"checkpoint_every_seconds"`
	Seed                   uint64  `json:"seed"`
}

// Result is one measured window, or one restart. Members that do not apply are left out.
type Result struct {
	Scenario           string   `json:"scenario"`
	Variant            string   `json:"variant,omitempty"` // how the server was run, where that differs
	Against            bool     `json:"against,omitempty"` // it is the result of the other daemon
	Round              int      `json:"round,omitempty"`   // from 1 on, if two daemons are compared
	Devices            int      `json:"devices"`
	Case               *Case    `json:"case,omitempty"`
	Events             uint64   `json:"events,omitempty"` // answered within the window
	Batches            uint64   `json:"batches,omitempty"`
	WindowSeconds      float64  `json:"window_seconds,omitempty"`
	EventsPerSecond    float64  `json:"events_per_second,omitempty"`
	EventsOfEachSecond []uint64 `json:"events_of_each_second,omitempty"`
	Latency            *Latency `json:"latency_seconds,omitempty"`
	// StallSeconds is the longest time in which no connection got an answer, to the millisecond. MidnightStallSeconds is
	// the longest such time around the end of a day.
	StallSeconds         float64  `json:"stall_seconds,omitempty"`
	MidnightStallSeconds float64  `json:"midnight_stall_seconds,omitempty"`
	CPU                  *CPU     `json:"cpu,omitempty"`
	Memory               *Memory  `json:"memory,omitempty"`
	Disk                 *Disk    `json:"disk,omitempty"`
	Restart              *Restart `json:"restart,omitempty"`
	Cluster              *Cluster `json:"cluster,omitempty"`
	Check                *Check   `json:"check"`
	Notes                []string `json:"notes,omitempty"`
}

// Latency is how long batches took, from the first byte written to the answer read.
type Latency struct {
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
	Mean float64 `json:"mean"`
}

func latencyOf(h *hdrhistogram.Histogram) *Latency {
	at := func(percent float64) float64 { return time.Duration(h.ValueAtPercentile(percent)).Seconds() }
	return &Latency{
		P50: at(50), P99: at(99), P999: at(99.9), Max: time.Duration(h.Max()).Seconds(),
		Mean: time.Duration(h.Mean()).Seconds(),
	}
}

// CPU is user and system time within the window. That of a remote daemon is zero.
type CPU struct {
	DaemonSecondsPerMillion float64 `json:"daemon_seconds_per_million_events"`
	LoaderSecondsPerMillion float64 `json:"loader_seconds_per_million_events"`
	DaemonCores             float64 `json:"daemon_cores"`
	LoaderCores             float64 `json:"loader_cores"`
	OtherShare              float64 `json:"other_share"`  // share of all cores that other processes used
	StolenShare             float64 `json:"stolen_share"` // share of all cores that the hypervisor gave to others
}

// Memory is the daemon's memory at the end of the window. RSS consists of anonymous memory, which includes the device
// table, and of mapped files.
type Memory struct {
	RSSBytes                uint64  `json:"rss_bytes"`
	HighWaterBytes          uint64  `json:"rss_high_water_bytes"`
	AnonymousBytes          uint64  `json:"rss_anonymous_bytes"`
	FileBytes               uint64  `json:"rss_file_bytes"` // the kernel can take these pages back
	TableBytes              uint64  `json:"table_mapped_bytes"`
	EmptyRSSBytes           uint64  `json:"empty_rss_bytes,omitempty"` // before the first device
	BytesPerDevice          float64 `json:"rss_bytes_per_device,omitempty"`
	AnonymousBytesPerDevice float64 `json:"anonymous_bytes_per_device,omitempty"`
	TableBytesPerDevice     float64 `json:"table_bytes_per_device,omitempty"`
}

// Disk is what was written within the window.
type Disk struct {
	LogBytesPerEvent     float64 `json:"log_bytes_per_event"`
	WrittenBytesPerEvent float64 `json:"written_bytes_per_event"` // by the process, checkpoints included
	EventsPerGroup       float64 `json:"events_per_group"`
	Checkpoints          int     `json:"checkpoints"`
	LoggedBytes          uint64  `json:"logged_bytes"` // to the log since the daemon started
}

// Restart is one stop and the start after it.
type Restart struct {
	Signal               string  `json:"signal"`
	StopSeconds          float64 `json:"stop_seconds"`  // from the signal until the process had ended
	ReadySeconds         float64 `json:"ready_seconds"` // from starting it until /readyz answered 200
	EventsBefore         uint64  `json:"events_before"` // that the process had answered before it was stopped
	CheckpointAgeSeconds float64 `json:"checkpoint_age_seconds"`
	VerifySeconds        float64 `json:"verify_seconds"`
}

// Check is the comparison that a result passed. Since the process started, Sent = Accepted + Denied = Logged; each
// device consumed one licence; and the devices that were read back had exactly the messages that they were sent. A
// yardstick must have counted what it was sent.
type Check struct {
	Sent               uint64 `json:"sent"`
	Accepted           uint64 `json:"accepted"`
	Denied             uint64 `json:"denied"`
	Logged             uint64 `json:"logged"`
	LicensesUsed       int    `json:"licenses_used"`
	DevicesCompared    int    `json:"devices_compared"`
	DeviceLogsCompared int    `json:"device_logs_compared"`
}

func newReport(machine Machine, o *Options) *Report {
	return &Report{
		Format: reportFormat, At: time.Now().UTC().Truncate(time.Second), Machine: machine,
		Settings: Settings{
			URL: o.URL, Against: o.Against, Devices: o.Devices, Seed: o.Seed, DurationSeconds: o.Duration.Seconds(),
			WarmupSeconds: o.Warmup.Seconds(), CheckpointEverySeconds: o.CheckpointEvery.Seconds(),
		},
	}
}

// WriteJSON writes the report, indented.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	if err := e.Encode(r); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}
