package limit

import "slices"

// A model is what a limiter has to do, as plainly as it can be said: a list of
// who is in, a list of who waits, and after each event a look at both from the
// start. It has no lock, no counters and no permits.
type model struct {
	config Config
	limit  float64
	in     []*player
	queue  []*player // in the order of arrival
}

// A fate is what has become of a call.
type fate int

const (
	unborn fate = iota
	waits
	runs
	refusedFull
	refusedReached
	refusedWait
	gone
	done
)

func (m *model) share(urgent bool) int {
	limit := int(m.limit)
	if urgent {
		return limit
	}
	return max(1, limit-int(m.config.Reserved*float64(limit)))
}

// next is who is to run next, if there is room: the first of those that are
// critical, or else the first.
func (m *model) next() *player {
	for _, p := range m.queue {
		if p.urgent {
			return p
		}
	}
	if len(m.queue) > 0 {
		return m.queue[0]
	}
	return nil
}

// settle lets in who may run.
func (m *model) settle() {
	for p := m.next(); p != nil && len(m.in) < m.share(p.urgent); p = m.next() {
		m.queue = remove(m.queue, p)
		m.enter(p)
	}
}

func (m *model) enter(p *player) {
	m.in = append(m.in, p)
	p.want, p.wantInFlight = runs, len(m.in)
}

func (m *model) arrive(p *player) {
	before := m.next()
	overtakes := before == nil || p.urgent && !before.urgent
	switch {
	case overtakes && len(m.in) < m.share(p.urgent):
		m.enter(p)
	case m.config.MaxWait == 0:
		p.want = refusedReached
	case len(m.queue) < m.config.MaxQueue:
		m.wait(p)
	default:
		last := m.lastOrdinary()
		if !p.urgent || last == nil {
			p.want = refusedFull
			return
		}
		m.queue = remove(m.queue, last)
		last.want = refusedFull
		m.wait(p)
	}
}

func (m *model) wait(p *player) {
	m.queue = append(m.queue, p)
	p.want = waits
}

func (m *model) lastOrdinary() *player {
	for _, p := range slices.Backward(m.queue) {
		if !p.urgent {
			return p
		}
	}
	return nil
}

// finish ends a call that runs.
func (m *model) finish(p *player, o Outcome) {
	p.want = done
	if m.config.Fixed == 0 {
		switch {
		case o == Dropped:
			m.limit = max(m.limit*m.config.Backoff, float64(m.config.Min))
		case o == Success && 2*float64(p.wantInFlight) >= m.limit:
			m.limit = min(m.limit+1, float64(m.config.Max))
		}
		m.settle() // a limit that rose lets in who waits
	}
	m.in = remove(m.in, p)
	m.settle()
}

// leave ends a wait.
func (m *model) leave(p *player, want fate) {
	m.queue = remove(m.queue, p)
	p.want = want
}

func remove(players []*player, p *player) []*player {
	i := slices.Index(players, p)
	return slices.Delete(slices.Clone(players), i, i+1)
}
