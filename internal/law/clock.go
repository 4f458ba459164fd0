package law

import (
	"context"
	"time"
)

// A Moment is a reading of the monotonic clock. It costs half of what time.Now
// does, which reads the clock on the wall too.
type Moment time.Duration

var epoch = time.Now()

// Now returns this moment.
func Now() Moment { return Moment(time.Since(epoch)) }

// Since returns how long ago m was.
func (m Moment) Since() time.Duration { return time.Since(epoch) - time.Duration(m) }

// Sub returns how long before m the moment n was.
func (m Moment) Sub(n Moment) time.Duration { return time.Duration(m - n) }

// Time returns m by the clock on the wall, as that stands now.
func (m Moment) Time() time.Time {
	now := time.Now()
	return now.Add(time.Duration(m) - now.Sub(epoch))
}

// Ended reports whether ctx has ended. It is for those who know that it is now,
// so that a context that goes by the clock need not read it again.
func Ended(ctx context.Context, now Moment) bool {
	if c, ok := ctx.(interface{ EndedAt(now Moment) bool }); ok {
		return c.EndedAt(now)
	}
	return ctx.Err() != nil
}
