package ops

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
	"weak"
)

// writeTimeout is how long a watcher may take to read what it is told.
const writeTimeout = 10 * time.Second

const eventStream = "text/event-stream"

// events tells of the state, and then of what changes, until the request's
// context ends or the server shuts down. It runs on the goroutine of the
// request, so that nothing runs when nobody watches.
func (v *View) events(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Type", eventStream)
		return
	}
	ending, ok := v.enter(r)
	if !ok {
		w.Header().Set("Retry-After", "5")
		fail(w, http.StatusServiceUnavailable, "too many are watching")
		return
	}
	defer v.leave()
	h := w.Header()
	h.Set("Content-Type", eventStream)
	h.Set("X-Accel-Buffering", "no") // nginx would collect events otherwise
	if r.ProtoMajor == 1 {
		h.Set("Connection", "close") // its deadline is not for other requests
	}
	stream := newStream(w, v, r)
	tick := time.NewTicker(v.config.Interval)
	defer tick.Stop()
	for {
		now, changed := v.shared()
		if err := stream.tell(now); err != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-ending:
			return
		case <-changed:
		case <-tick.C:
		}
	}
}

// enter counts a watcher, unless there are too many. It returns a channel that
// is closed when the watcher's server shuts down, for which http.Server.Shutdown
// would wait otherwise; it is nil if the server is not one of net/http.
func (v *View) enter(r *http.Request) (ending <-chan struct{}, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.watchers == v.config.MaxWatchers {
		return nil, false
	}
	v.watchers++
	s, ok := r.Context().Value(http.ServerContextKey).(*http.Server)
	if !ok {
		return nil, true
	}
	return v.endingOf(s), true
}

func (v *View) leave() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.watchers--
	if v.watchers == 0 {
		v.newest = nil
	}
}

// endingOf runs with mu held.
func (v *View) endingOf(s *http.Server) <-chan struct{} {
	for other := range v.servers {
		if other.Value() == nil {
			delete(v.servers, other)
		}
	}
	key := weak.Make(s)
	if ending, ok := v.servers[key]; ok {
		return ending
	}
	ending := make(chan struct{})
	v.servers[key] = ending
	s.RegisterOnShutdown(sync.OnceFunc(func() { close(ending) }))
	return ending
}

// shared returns how everything stands, for all who watch, so that many of them
// cost little more than one, and a channel that is closed when somebody has done
// something that is worth telling at once.
func (v *View) shared() (*sample, <-chan struct{}) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := time.Now()
	if v.newest == nil || now.Sub(v.newest.at) >= v.config.Interval/2 {
		v.newest = v.found().take(now)
	}
	return v.newest, v.changed
}

// nudge has all who watch be told now.
func (v *View) nudge() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.newest = nil
	close(v.changed)
	v.changed = make(chan struct{})
}

// A stream is what one watcher is told, and has been told.
type stream struct {
	view     *View
	out      http.ResponseWriter
	control  *http.ResponseController
	search   string
	writable bool

	begun    bool
	circuits map[string]reading
	budgets  map[string]Budget
	limits   map[string]Limit
}

func newStream(w http.ResponseWriter, v *View, r *http.Request) *stream {
	return &stream{
		view:     v,
		out:      w,
		control:  http.NewResponseController(w),
		search:   searchOf(r),
		writable: v.writable(r),
	}
}

func (s *stream) tell(now *sample) error {
	change := s.change(now)
	if !s.begun {
		s.begun = true
		return s.send("state", change.Snapshot)
	}
	return s.send("change", change)
}

// change returns what is new to the watcher, which is everything at first.
func (s *stream) change(now *sample) Change {
	snapshot, circuits := s.view.snapshot(now, s.search, s.writable)
	c := Change{Snapshot: snapshot, Gone: []string{}}
	c.Breakers.Rows = s.newCircuits(circuits)
	c.Budgets.Rows = news(snapshot.Budgets.Rows, s.budgets, func(b Budget) string { return b.ID })
	c.Limits.Rows = news(snapshot.Limits.Rows, s.limits, func(l Limit) string { return l.ID })

	before := slices.Concat(slices.Collect(maps.Keys(s.circuits)), slices.Collect(maps.Keys(s.budgets)), slices.Collect(maps.Keys(s.limits)))
	s.circuits = byIDs(circuits, func(r reading) (string, reading) { return r.row.ID, r })
	s.budgets = byIDs(snapshot.Budgets.Rows, func(b Budget) (string, Budget) { return b.ID, b })
	s.limits = byIDs(snapshot.Limits.Rows, func(l Limit) (string, Limit) { return l.ID, l })
	for _, id := range before {
		if !s.knows(id) {
			c.Gone = append(c.Gone, id)
		}
	}
	slices.Sort(c.Gone)
	return c
}

// newCircuits returns the circuits that are not as the watcher knows them, with
// their transitions if there are new ones.
func (s *stream) newCircuits(all []reading) []Circuit {
	rows := []Circuit{}
	for _, r := range all {
		old, ok := s.circuits[r.row.ID]
		if ok && old.breaker == r.breaker && old.row.same(r.row) {
			continue
		}
		row := r.row
		// A group may have forgotten a breaker and made another for its key.
		if !ok || old.breaker != r.breaker || old.row.Generation != row.Generation {
			row.Transitions = s.view.transitionsOf(r.breaker)
		}
		rows = append(rows, row)
	}
	return rows
}

// same reports whether two rows of one circuit tell the same.
func (c Circuit) same(d Circuit) bool {
	return c.State == d.State && c.Forced == d.Forced && c.Generation == d.Generation &&
		c.Trouble == d.Trouble && c.Counts == d.Counts && c.Since.Equal(d.Since) && c.Until.Equal(d.Until)
}

// news returns the rows that are not as they are known.
func news[T comparable](rows []T, known map[string]T, id func(T) string) []T {
	changed := []T{}
	for _, row := range rows {
		if old, ok := known[id(row)]; !ok || old != row {
			changed = append(changed, row)
		}
	}
	return changed
}

func byIDs[T, R any](rows []T, split func(T) (string, R)) map[string]R {
	all := make(map[string]R, len(rows))
	for _, row := range rows {
		id, r := split(row)
		all[id] = r
	}
	return all
}

func (s *stream) knows(id string) bool {
	_, circuit := s.circuits[id]
	_, budget := s.budgets[id]
	_, limit := s.limits[id]
	return circuit || budget || limit
}

func (s *stream) send(event string, data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return err
	}
	// Where the server can't do this, its own limits apply.
	_ = s.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := fmt.Fprintf(s.out, "event: %s\ndata: %s\n\n", event, text); err != nil {
		return err
	}
	return s.control.Flush()
}
