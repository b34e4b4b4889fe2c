package powercut

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
)

// environment names the variable that makes a test binary the file system; its value is an order.
const environment = "METERD_POWERCUT"

// The server's end of the control pipes: descriptors that Mount passes to it.
const (
	commandsFD = 3 // one line a command, a question; its end means that the test is gone
	answersFD  = 4 // one line an answer
)

// order is what the server is started with.
type order struct {
	Lower      string  `json:"lower"`
	Mountpoint string  `json:"mountpoint"`
	Options    Options `json:"options"`
}

// answer is what the server says: once when it is mounted, once to each command, and once when it ended in order.
type answer struct {
	Error string `json:"error,omitempty"`
	Stats Stats  `json:"stats"`
	CutAt string `json:"cut_at,omitempty"` // the last answer of a disk that was cut by itself
}

// question is what the test asks; the zero one is for Stats.
type question struct {
	Cut      bool   `json:"cut,omitempty"`       // keep what Seed lets survive, then end
	CutAfter uint64 `json:"cut_after,omitempty"` // cut at so many changes from now on, of what begins with Path
	FailSync bool   `json:"fail_sync,omitempty"` // the next one of a file whose path begins with Path
	Path     string `json:"path,omitempty"`
	Seed     uint64 `json:"seed,omitempty"`
}

func writeAnswer(w io.Writer, a answer) error {
	line, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	_, err = w.Write(append(line, '\n'))
	return err
}

func readAnswer(r *bufio.Reader) (answer, error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return answer{}, err
	}
	var a answer
	if err := json.Unmarshal(line, &a); err != nil {
		return answer{}, fmt.Errorf("decode answer %q: %w", line, err)
	}
	return a, nil
}
