package engine

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"sync"
	"time"
)

// A Sample is what became of one request.
type Sample struct {
	Client   string
	Seq      uint64    // counts the requests that a client started, from 0
	Due      time.Time // its intended start
	Latency  time.Duration
	Outcome  Outcome
	Status   int   // of the answer; 0 without one
	BytesIn  int64 // of the answer's body
	BytesOut int64 // of the request's body, once
	Method   string
	URL      string
}

// A VegetaLog writes samples as vegeta's commands report, plot and encode read
// them: a JSON object a line. The attack is the client, timestamp and latency
// are those of the intended start, and error is the outcome of what was not
// answered rightly.
//
// It is safe for concurrent use.
type VegetaLog struct {
	// Prefix is put before the names of the attacks, to tell several runs
	// apart. It must not be changed while a run is under way.
	Prefix string

	mu  sync.Mutex
	w   *bufio.Writer
	err error
}

// NewVegetaLog returns a log that writes to w. What it writes is complete once
// Flush has returned.
func NewVegetaLog(w io.Writer) *VegetaLog { return &VegetaLog{w: bufio.NewWriterSize(w, 64<<10)} }

// vegetaResult has the fields of vegeta's Result, by their names in its JSON.
type vegetaResult struct {
	Attack    string    `json:"attack"`
	Seq       uint64    `json:"seq"`
	Code      int       `json:"code"`
	Timestamp time.Time `json:"timestamp"`
	Latency   int64     `json:"latency"`
	BytesOut  int64     `json:"bytes_out"`
	BytesIn   int64     `json:"bytes_in"`
	Error     string    `json:"error"`
	Body      *string   `json:"body"`
	Method    string    `json:"method"`
	URL       string    `json:"url"`
	Headers   *struct{} `json:"headers"`
}

// Add writes a sample. The first error is kept for Flush.
func (l *VegetaLog) Add(s Sample) {
	r := vegetaResult{
		Attack:    l.Prefix + s.Client,
		Seq:       s.Seq,
		Code:      s.Status,
		Timestamp: s.Due,
		Latency:   int64(s.Latency),
		BytesOut:  s.BytesOut,
		BytesIn:   s.BytesIn,
		Method:    s.Method,
		URL:       s.URL,
	}
	if s.Outcome != Useful && s.Outcome != Late {
		r.Error = string(s.Outcome)
	}
	line, err := json.Marshal(r)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		_, writeErr := l.w.Write(append(line, '\n'))
		l.err = errors.Join(err, writeErr)
	}
}

// Flush writes what is held back, and returns the first error there was.
func (l *VegetaLog) Flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.err, l.w.Flush())
}
