//go:build !unix

package bench

import "time"

var started = time.Now()

// cpuTime is the time on the clock where processor time is not to be had.
func cpuTime() time.Duration { return time.Since(started) }
