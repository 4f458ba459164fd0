package main

import (
	"bytes"
	"testing"
	"time"
)

// TestRun holds that everything can be measured, and counts what a server is
// asked: each request is a round trip of the slowest link that somebody has.
// Times are for people.
func TestRun(t *testing.T) {
	b, err := newBench(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	rows, err := b.ratios(t.Context(), 1)
	if err != nil || len(rows) != 3 {
		t.Fatalf("%v, %v", rows, err)
	}
	trips, err := b.latencies(t.Context(), 1, 20*time.Millisecond)
	if err != nil || len(trips) != 2 {
		t.Fatalf("%v, %v", trips, err)
	}
	for i, most := range []int{5, 2} {
		if got := trips[i].redoubt; got.requests > most || got.connections > 1 {
			t.Errorf("%s: %+v, want at most %d requests on one connection", trips[i].what, got, most)
		}
	}
	var out bytes.Buffer
	if err := printRows(&out, rows); err != nil {
		t.Error(err)
	}
	if err := printTrips(&out, trips); err != nil {
		t.Error(err)
	}
	t.Log("\n" + out.String())
}
