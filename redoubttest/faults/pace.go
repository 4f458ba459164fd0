package faults

import (
	"context"
	"sync"
	"time"
)

const (
	pieces     = 10   // that a dripping body of known length comes in
	pieceBytes = 1024 // of a dripping body of unknown length
	frameBytes = 4096 // what a shared line moves at a time for one body
)

// A line is a shared line of limited bandwidth. Those who use it get pieces in
// turn. Time is that of the plan.
type line struct {
	rate int // bytes a second

	mu   sync.Mutex
	free time.Duration // when it has moved all that it was given
}

// reserve returns when n bytes given to the line at now will have moved.
func (l *line) reserve(now time.Duration, n int) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.free = max(l.free, now) + time.Duration(float64(n)/float64(l.rate)*float64(time.Second))
	return l.free
}

// A pacer makes a body take its time and break off. It is used by one goroutine
// at a time.
type pacer struct {
	inj   *Injector
	fate  fate
	size  int64 // of the body, -1 if unknown
	begun time.Duration
	moved int64
}

func (i *Injector) pace(f fate, size int64) *pacer {
	return &pacer{inj: i, fate: f, size: size, begun: i.Elapsed()}
}

// next waits until some of the next n bytes, n > 0, may move and returns how
// many: none if the body has broken off.
func (p *pacer) next(ctx context.Context, n int) (int, error) {
	if p.fate.truncate >= 0 {
		n = min(n, p.fate.truncate-int(min(p.moved, int64(p.fate.truncate))))
	}
	if left := p.size - p.moved; left > 0 {
		n = int(min(int64(n), left))
	}
	if n > 0 && p.fate.drip > 0 {
		piece := int64(pieceBytes)
		due := time.Duration((p.moved/piece + 1)) * p.fate.drip / pieces
		if p.size > 0 {
			piece = (p.size + pieces - 1) / pieces
			due = time.Duration(float64(min(p.moved+piece, p.size)) / float64(p.size) * float64(p.fate.drip))
		}
		n = int(min(int64(n), piece-p.moved%piece))
		if err := sleep(ctx, p.begun+due-p.inj.Elapsed()); err != nil {
			return 0, err
		}
	}
	for _, s := range p.fate.lines {
		now := p.inj.Elapsed()
		if n == 0 || now < 0 || !s.during.Contains(now) {
			continue
		}
		n = min(n, frameBytes)
		if err := sleep(ctx, s.line.reserve(now, n)-now); err != nil {
			return 0, err
		}
	}
	p.moved += int64(n)
	return n, nil
}
