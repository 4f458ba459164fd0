package timeout

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/redoubt-go/redoubt/internal/law"
)

// A limited context ends when a limit is over, with an [*Error] as its cause. As
// long as nobody waits for that it costs a fifth of what the standard library's
// does: it makes the standard context, which then does the work, when somebody
// first asks for Done, as all children and AfterFunc do, or when it is first
// found to have ended.
//
// Until then it tells by the clock whether it has ended, and in one case knows
// less than the standard context does. If nobody has asked between the end of
// the limit and the end of its parent, it can't tell which came first. If the
// parent ended by a deadline, that was the later one; otherwise the parent is
// taken to have been first. And if nobody has asked before the call returned, it
// was that which ended the context.
//
// A limited context may outlive its call in any goroutine, and so is never used
// again.
type limited struct {
	// The caller's, which has no earlier deadline.
	context.Context

	start law.Moment
	limit time.Duration

	armed atomic.Pointer[armed] // nil as long as nobody has asked
}

// An armed context is the standard one that stands for a limited one.
type armed struct {
	context.Context

	cancel  context.CancelFunc
	expired Error // the cause if the limit ends it
}

// returned is what arms a context whose call has returned before anybody asked.
var returned = func() *armed {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return &armed{Context: ctx}
}()

func (c *limited) Deadline() (time.Time, bool) { return c.start.Time().Add(c.limit), true }

// Link tells redoubt.Transport all that there is to know of c, so that it need
// not ask for Done.
func (c *limited) Link() (parent context.Context, end time.Time) {
	return c.Context, c.start.Add(c.limit).Alarm()
}

func (c *limited) Done() <-chan struct{} { return c.arm().Done() }

func (c *limited) Err() error {
	if c.armed.Load() == nil && !c.EndedAt(law.Now()) {
		return nil
	}
	return c.arm().Err() // which stays as it is
}

// EndedAt is for law.Ended.
func (c *limited) EndedAt(now law.Moment) bool {
	if a := c.armed.Load(); a != nil {
		return a.Err() != nil
	}
	return c.Context.Err() != nil || now.Sub(c.start) >= c.limit
}

func (c *limited) Value(key any) any {
	if key == standardKey {
		return c.arm().Value(key)
	}
	return c.Context.Value(key)
}

// String keeps package fmt from reading fields that change.
func (c *limited) String() string { return "timeout.Limit(" + c.limit.String() + ")" }

// arm returns the standard context, which it makes if there is none. Of several
// goroutines that make one at once all get the same.
func (c *limited) arm() context.Context {
	if a := c.armed.Load(); a != nil {
		return a.Context
	}
	parent := c.Context
	if c.wasFirst() {
		parent = context.WithoutCancel(parent)
	}
	a := &armed{expired: Error{Limit: c.limit}}
	end := c.start.Add(c.limit).Alarm() // for c itself tells the Deadline
	a.Context, a.cancel = context.WithDeadlineCause(parent, end, &a.expired)
	if !c.armed.CompareAndSwap(nil, a) {
		a.cancel()
	}
	return c.armed.Load().Context
}

// wasFirst reports whether the parent has ended by a deadline, which was later
// than the end of the limit.
func (c *limited) wasFirst() bool {
	if c.Context.Err() != context.DeadlineExceeded {
		return false
	}
	deadline, ok := c.Context.Deadline()
	return ok && time.Until(deadline) <= 0
}

// end is for when the call has returned.
func (c *limited) end() {
	if !c.armed.CompareAndSwap(nil, returned) {
		c.armed.Load().cancel()
	}
}

// standardKey is the key by which package context finds a standard context in
// another, to tell its cause and to have children without goroutines. The key is
// not exported, but put to every context that has ended.
var standardKey = func() any {
	var c curious
	_ = context.Cause(&c)
	return c.key
}()

// A curious context remembers what it was last asked for.
type curious struct {
	context.Context

	key any
}

func (c *curious) Err() error { return context.Canceled }

func (c *curious) Value(key any) any {
	c.key = key
	return nil
}
