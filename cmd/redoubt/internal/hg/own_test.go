package hg

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// A recovery has all the time of the run, and a little if the run is over. It
// had only the little, which a full disk or a large store took.
func TestOutlasting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, budget := range []time.Duration{0, time.Hour} {
			ctx, cancel := context.WithTimeout(t.Context(), budget)
			longer, release := outlasting(ctx)
			start := time.Now()
			<-longer.Done()
			if got, want := time.Since(start), budget+aLittle; got != want {
				t.Errorf("after %v it lasts %v in all, want %v", budget, got, want)
			}
			release()
			cancel()
		}
		longer, release := outlasting(t.Context())
		release()
		if longer.Err() == nil {
			t.Error("it goes on though it was released")
		}
	})
}
