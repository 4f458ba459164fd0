package law

import (
	"context"
	"math"
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

// Alarm returns m for a timer to be set to, or to be compared with other times.
// It reads no clock, and so does not know whether the one on the wall has been
// set since the program began: its date is not for anybody to see.
func (m Moment) Alarm() time.Time { return epoch.Add(time.Duration(m)) }

// Add returns the moment d later, or the last one there is. d must not be
// negative.
func (m Moment) Add(d time.Duration) Moment {
	if later := m + Moment(d); later >= m {
		return later
	}
	return math.MaxInt64
}

// Ended reports whether ctx has ended. It is for those who know that it is now,
// so that a context that goes by the clock need not read it again.
func Ended(ctx context.Context, now Moment) bool {
	if c, ok := ctx.(interface{ EndedAt(now Moment) bool }); ok {
		return c.EndedAt(now)
	}
	return ctx.Err() != nil
}
