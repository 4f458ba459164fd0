package law

import "time"

// A Moment is a reading of the monotonic clock. It costs half of what time.Now
// does, which reads the clock on the wall too.
type Moment time.Duration

var epoch = time.Now()

// Now returns this moment.
func Now() Moment { return Moment(time.Since(epoch)) }

// Since returns how long ago m was.
func (m Moment) Since() time.Duration { return time.Since(epoch) - time.Duration(m) }

// Time returns m by the clock on the wall, as that stands now.
func (m Moment) Time() time.Time {
	now := time.Now()
	return now.Add(time.Duration(m) - now.Sub(epoch))
}
