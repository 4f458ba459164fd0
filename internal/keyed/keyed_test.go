package keyed

import (
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
)

// A thing that must be kept, or not, as the test likes.
type thing struct {
	key  string
	keep bool
}

func newCache(limit int) *Cache[*thing] {
	return New(limit, func(key string) *thing { return &thing{key: key} }, func(t *thing) bool { return t.keep })
}

func keys(c *Cache[*thing]) []string {
	var keys []string
	for _, t := range c.All() {
		keys = append(keys, t.key)
	}
	return keys
}

func TestGet(t *testing.T) {
	tests := []struct {
		name  string
		limit int
		gets  []string
		want  []string // the newest first
	}{
		{"empty", 2, nil, nil},
		{"room", 2, []string{"a", "b"}, []string{"b", "a"}},
		{"again", 2, []string{"a", "b", "a"}, []string{"a", "b"}},
		{"oldest goes", 2, []string{"a", "b", "c"}, []string{"c", "b"}},
		{"least recently used goes", 2, []string{"a", "b", "a", "c"}, []string{"c", "a"}},
		{"comes back", 2, []string{"a", "b", "c", "a"}, []string{"a", "c"}},
		{"one", 1, []string{"a", "b"}, []string{"b"}},
		{"empty key", 2, []string{"", "a", ""}, []string{"", "a"}},
		{"no room at all", 0, []string{"a", "b"}, nil},
		{"less than none", -1, []string{"a"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newCache(tt.limit)
			for _, key := range tt.gets {
				if got := c.Get(key); got.key != key {
					t.Errorf("Get(%q) returned what is for %q", key, got.key)
				}
			}
			if got := keys(c); !slices.Equal(got, tt.want) {
				t.Errorf("keys = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestGet_Same(t *testing.T) {
	c := newCache(2)
	a := c.Get("a")
	if c.Get("b") == a {
		t.Error("two keys have one thing")
	}
	if c.Get("a") != a {
		t.Error("one key has two things")
	}
	c.Get("c")
	c.Get("d")
	if c.Get("a") == a {
		t.Error("what was forgotten is there again")
	}
}

func TestGet_Keeps(t *testing.T) {
	c := newCache(3)
	old := c.Get("old")
	old.keep = true
	for i := range 10 {
		c.Get(strconv.Itoa(i))
	}
	if c.Get("old") != old {
		t.Error("a thing that must be kept was forgotten")
	}
	old.keep = false
	for i := range 3 {
		c.Get(strconv.Itoa(i))
	}
	if got, want := keys(c), []string{"2", "1", "0"}; !slices.Equal(got, want) {
		t.Errorf("keys = %q, want %q: it need no longer be kept", got, want)
	}
}

// TestGet_Full holds that a newcomer among things that must all be kept gets a
// thing of its own, and displaces nothing.
func TestGet_Full(t *testing.T) {
	c := newCache(3)
	for _, key := range []string{"a", "b", "c"} {
		c.Get(key).keep = true
	}
	first := c.Get("newcomer")
	if first == nil || first.key != "newcomer" {
		t.Fatalf("Get returned %v, want a thing for the newcomer", first)
	}
	if c.Get("newcomer") == first {
		t.Error("the newcomer's thing was remembered beyond the limit")
	}
	got := keys(c)
	slices.Sort(got)
	if want := []string{"a", "b", "c"}; !slices.Equal(got, want) {
		t.Errorf("keys = %q, want %q", got, want)
	}
}

// TestGet_FindsRoom holds that an eviction looks at few things only, but that
// the next ones go on from there, so that room is found in the end.
func TestGet_FindsRoom(t *testing.T) {
	const limit = 10 * scanned
	asked := 0
	c := New(limit,
		func(key string) *thing { return &thing{key: key} },
		func(t *thing) bool { asked++; return t.keep })
	for i := range limit {
		c.Get(strconv.Itoa(i)).keep = true
	}
	c.Get(strconv.Itoa(limit - 1)).keep = false // the last to be looked at
	for i := range limit / scanned {
		asked = 0
		key := fmt.Sprintf("newcomer %d", i)
		c.Get(key)
		if asked > scanned {
			t.Errorf("%s: %d things were looked at, want at most %d", key, asked, scanned)
		}
		if got, want := slices.Contains(keys(c), key), i == limit/scanned-1; got != want {
			t.Errorf("%s: remembered = %v, want %v", key, got, want)
		}
	}
	if n := len(keys(c)); n != limit {
		t.Errorf("%d things, want %d", n, limit)
	}
}

func TestAll_Copies(t *testing.T) {
	c := newCache(2)
	c.Get("a")
	c.All()[0] = nil
	if got := c.All()[0]; got == nil {
		t.Error("All returned the cache's own slice")
	}
}

func TestConcurrent(t *testing.T) {
	const limit = 10
	c := newCache(limit)
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 500 {
				key := strconv.Itoa((worker*7 + i*3) % 25)
				if got := c.Get(key); got.key != key {
					t.Errorf("Get(%q) returned what is for %q", key, got.key)
				}
				if n := len(c.All()); n > limit {
					t.Errorf("%d things, want at most %d", n, limit)
				}
			}
		})
	}
	wg.Wait()
}

func TestMap(t *testing.T) {
	c := newCache(2)
	for _, key := range []string{"a", "b", "a", "c"} {
		c.Get(key)
	}
	got := c.Map()
	if len(got) != 2 || got["a"].key != "a" || got["c"].key != "c" {
		t.Errorf("Map() = %v, want a and c", got)
	}
	if got, want := keys(c), []string{"c", "a"}; !slices.Equal(got, want) {
		t.Errorf("keys = %q, want %q: to look is not to use", got, want)
	}
}
