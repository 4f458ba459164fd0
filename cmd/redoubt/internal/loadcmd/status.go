package loadcmd

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/engine"
)

const (
	repaint  = 200 * time.Millisecond // of the line on a terminal
	interval = 2 * time.Second        // between lines elsewhere
	recent   = time.Second            // over which useful answers are counted
)

// A status says how a run goes: in one line that is repainted on a terminal, and
// in key=value lines elsewhere.
type status struct {
	w        io.Writer
	terminal bool
	columns  func() int
	label    string        // what runs
	whole    time.Duration // how long each client runs

	mu      sync.Mutex
	now     time.Duration // of whoever told last
	order   []string
	clients map[string]*pace

	stop chan struct{}
	done chan struct{}
}

// A pace is how far a client is.
type pace struct {
	last    engine.Progress
	history []engine.Progress // of the recent time
}

func newStatus(w io.Writer, label string, whole time.Duration, clients []engine.Client) *status {
	s := &status{
		w: w, label: label, whole: whole,
		columns: func() int { return 80 },
		clients: make(map[string]*pace),
		stop:    make(chan struct{}),
		done:    make(chan struct{}),
	}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		s.terminal = true
		s.columns = func() int {
			if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
				return width
			}
			return 80
		}
	}
	for _, c := range clients {
		s.order = append(s.order, c.Name)
		s.clients[c.Name] = new(pace)
	}
	go s.show()
	return s
}

// tell takes down how far a client is.
func (s *status) tell(p engine.Progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = p.At
	c := s.clients[p.Client]
	c.last = p
	c.history = append(c.history, p)
	for len(c.history) > 1 && c.history[1].At <= p.At-recent {
		c.history = c.history[1:]
	}
}

// rate is the useful answers a second of late.
func (p *pace) rate() float64 {
	if len(p.history) == 0 {
		return 0
	}
	first := p.history[0]
	span := p.last.At - first.At
	if span <= 0 {
		return 0
	}
	return float64(p.last.Useful-first.Useful) / span.Seconds()
}

func (s *status) show() {
	defer close(s.done)
	every := interval
	if s.terminal {
		every = repaint
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-s.stop:
			if s.terminal {
				fmt.Fprint(s.w, "\r\x1b[K")
			}
			return
		case <-ticker.C:
			if s.terminal {
				fmt.Fprint(s.w, "\r"+clip(s.line(), s.columns()-1)+"\x1b[K")
			} else {
				fmt.Fprintln(s.w, s.pairs())
			}
		}
	}
}

// close ends the status, and clears the line.
func (s *status) close() {
	close(s.stop)
	<-s.done
}

// line is for a terminal.
func (s *status) line() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	useful, inFlight := make([]string, len(s.order)), make([]string, len(s.order))
	for i, name := range s.order {
		c := s.clients[name]
		useful[i] = fmt.Sprintf("%s %.0f", name, c.rate())
		if c.last.Breaker != "" {
			useful[i] += " (" + c.last.Breaker + ")"
		}
		inFlight[i] = strconv.FormatInt(c.last.InFlight, 10)
	}
	return fmt.Sprintf("%.0f/%.0f s  useful/s: %s  in flight: %s  %s", s.now.Seconds(), s.whole.Seconds(),
		strings.Join(useful, ", "), strings.Join(inFlight, ", "), s.label)
}

// pairs is for a file.
func (s *status) pairs() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "scenario=%s at=%.1fs", s.label, s.now.Seconds())
	for _, name := range s.order {
		c := s.clients[name]
		fmt.Fprintf(&b, " %s.offered=%d %s.useful=%d %s.useful_per_s=%.0f %s.amplification=%.2f %s.in_flight=%d",
			name, c.last.Offered, name, c.last.Useful, name, c.rate(), name, c.last.Amplification, name, c.last.InFlight)
		if c.last.Breaker != "" {
			fmt.Fprintf(&b, " %s.breaker=%s", name, c.last.Breaker)
		}
	}
	return b.String()
}

// clip cuts text that does not fit into so many columns.
func clip(text string, columns int) string {
	if runes := []rune(text); len(runes) > columns && columns > 0 {
		return string(runes[:columns-1]) + "…"
	}
	return text
}
