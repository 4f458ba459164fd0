package main

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
)

// The dependency needs no sockets, so that the load test runs in a bubble: at
// once, and as well on a machine that is busy.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		if err := run(t.Context(), &out); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		wants := []struct {
			name        string
			least, most float64 // answered
			load        float64
		}{
			{"bare client", 92.7, 92.7, 1},
			{"guarded client", 97, 99.9, 1.1}, // as far as its budget goes
			{"guarded function", 99.5, 100, 1.1},
		}
		if len(lines) != len(wants) {
			t.Fatalf("got:\n%s", out.String())
		}
		for i, want := range wants {
			var answered, load float64
			name, rest, _ := strings.Cut(lines[i], "  ")
			if _, err := fmt.Sscanf(strings.TrimSpace(rest), "%f %% answered, %f arrivals a call", &answered, &load); err != nil || name != want.name {
				t.Errorf("%q: %v", lines[i], err)
			}
			if answered < want.least || answered > want.most || load > want.load {
				t.Errorf("%q, want %+v", lines[i], want)
			}
		}
	})
}
