package store

import "testing"

// A stride gets to the end whatever the largest transfer that comes through, as
// long as one revision does, and in about as many steps as that needs.
func TestStride(t *testing.T) {
	for _, most := range []int{1, 2, 3, 7, 64, 100, 1000, 1 << 20} {
		const end = 10_000
		s := stride{have: -1, size: firstStep}
		pulls := 0
		for s.have < end {
			if pulls++; pulls > 3*end {
				t.Fatalf("most %d: no end in sight at %d, size %d", most, s.have, s.size)
			}
			if s.size <= most {
				s.came()
			} else if !s.broke() {
				t.Fatalf("most %d: gave up at %d", most, s.have)
			}
		}
		if limit := 3*end/most + 40; pulls > limit {
			t.Errorf("most %d: %d pulls, want at most %d", most, pulls, limit)
		}
	}
}

func TestStrideGivesUp(t *testing.T) {
	s := stride{have: -1, size: firstStep}
	for n := 1; s.broke(); n++ {
		if n > 10 {
			t.Fatal("never gives up")
		}
	}
}
