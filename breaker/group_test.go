package breaker

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

type hostKey struct{}

func host(ctx context.Context) string {
	host, _ := ctx.Value(hostKey{}).(string)
	return host
}

func withHost(t *testing.T, host string) context.Context {
	t.Helper()
	return context.WithValue(t.Context(), hostKey{}, host)
}

func newGroup(t *testing.T, limit int) *Group {
	t.Helper()
	g := NewGroup(GroupConfig{
		Breaker: Config{Name: "hosts", Consecutive: 1, Cooldown: time.Minute, Jitter: NoJitter},
		Key:     host,
		Max:     limit,
	})
	if err := g.Check(); err != nil {
		t.Fatal(err)
	}
	return g
}

func TestGroup(t *testing.T) {
	g := newGroup(t, 0)
	a, b := withHost(t, "a.example"), withHost(t, "b.example")
	wantErr(t, g.Do(a, fail), errDown)
	err := g.Do(a, succeed)
	wantErr(t, err, ErrOpen)
	if got, want := err.Error(), "breaker: hosts a.example is open (1 failure), last: down"; got != want {
		t.Errorf("err = %q, want %q", got, want)
	}
	wantErr(t, g.Do(b, succeed), nil)

	all := g.Breakers()
	if len(all) != 2 || all["a.example"] != g.For(a) || all["b.example"] != g.For(b) {
		t.Errorf("Breakers() = %v, want those of For", all)
	}
	for key, want := range map[string]State{"a.example": Open, "b.example": Closed} {
		wantState(t, all[key], want)
	}
	if got := all["a.example"].Name(); got != "hosts" {
		t.Errorf("Name() = %q, want hosts", got)
	}
	for key, want := range map[context.Context]bool{a: false, b: true} {
		if got, one := g.Closed(key), g.For(key).Closed(key); got != want || one != want {
			t.Errorf("%s: Closed() = %t, the breaker's %t, want %t", host(key), got, one, want)
		}
	}
	clear(all)
	if got := len(g.Breakers()); got != 2 {
		t.Errorf("%d breakers, want 2: the map is the caller's own", got)
	}
}

func TestGroup_EmptyKey(t *testing.T) {
	g := newGroup(t, 0)
	g.Do(t.Context(), fail)
	err := g.Do(t.Context(), succeed)
	wantErr(t, err, ErrOpen)
	if got, want := err.Error(), "breaker: hosts is open (1 failure), last: down"; got != want {
		t.Errorf("err = %q, want %q", got, want)
	}
}

func TestGroup_Check(t *testing.T) {
	tests := []struct {
		config GroupConfig
		want   string
	}{
		{GroupConfig{Breaker: Config{Name: "hosts"}}, "breaker: group hosts: Key is nil, must be a function"},
		{GroupConfig{Breaker: Config{Name: "hosts"}, Key: host, Max: -1}, "breaker: group hosts: Max is -1, must not be negative"},
		{GroupConfig{Key: host}, "breaker: Name is empty, must name the breaker"},
	}
	for _, tt := range tests {
		g := NewGroup(tt.config)
		if got := text(g.Check()); got != tt.want {
			t.Errorf("Check() = %q, want %q", got, tt.want)
		}
		if got := text(g.Do(t.Context(), succeed)); got != tt.want {
			t.Errorf("Do: %q, want %q", got, tt.want)
		}
		if got := text(g.For(t.Context()).Check()); got != tt.want {
			t.Errorf("Check() of For = %q, want %q", got, tt.want)
		}
		if got := len(g.Breakers()); got != 0 {
			t.Errorf("%d breakers, want none", got)
		}
	}
}

// TestGroup_Bounded visits a great many hosts once each, as a crawler would.
func TestGroup_Bounded(t *testing.T) {
	g := newGroup(t, 0)
	for i := range 10_000 {
		wantErr(t, g.Do(withHost(t, fmt.Sprint(i)), succeed), nil)
	}
	all := g.Breakers()
	if len(all) != DefaultMaxBreakers {
		t.Errorf("%d breakers, want %d", len(all), DefaultMaxBreakers)
	}
	for i := 10_000 - DefaultMaxBreakers; i < 10_000; i++ {
		if all[fmt.Sprint(i)] == nil {
			t.Fatalf("the breaker of %d has gone, want the last %d to stay", i, DefaultMaxBreakers)
		}
	}
}

// TestGroup_Keeps holds which breakers are never forgotten.
func TestGroup_Keeps(t *testing.T) {
	tests := []struct {
		name string
		do   func(*Breaker)
		want bool
	}{
		{"closed", func(b *Breaker) { b.Do(context.Background(), succeed) }, false},
		{"open", func(b *Breaker) { b.Do(context.Background(), fail) }, true},
		{"open, its cooldown just not over", func(b *Breaker) {
			b.Do(context.Background(), fail)
			time.Sleep(time.Minute - 1)
		}, true},
		{"open, its cooldown over", func(b *Breaker) {
			b.Do(context.Background(), fail)
			time.Sleep(time.Minute)
		}, false},
		{"half-open", func(b *Breaker) {
			b.Do(context.Background(), fail)
			time.Sleep(time.Minute)
			b.State()
		}, false},
		{"forced open", func(b *Breaker) { b.ForceOpen(); time.Sleep(time.Hour) }, true},
		{"forced closed", func(b *Breaker) { b.ForceClosed(); time.Sleep(time.Hour) }, true},
		{"reset", func(b *Breaker) { b.ForceOpen(); b.Reset() }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGroup(t, 2)
				kept := g.For(withHost(t, "kept"))
				tt.do(kept)
				for i := range 10 {
					g.Do(withHost(t, fmt.Sprint(i)), succeed)
				}
				all := g.Breakers()
				if got := all["kept"] == kept; got != tt.want {
					t.Errorf("kept = %v, want %v", got, tt.want)
				}
				if len(all) != 2 || all["9"] == nil {
					t.Errorf("breakers of %v, want 2, that of 9 among them", all)
				}
			})
		})
	}
}

// TestGroup_KeepsProbe tells of a host that had just been let one probe, when so
// many others were asked that it was forgotten: the next calls all passed, to a
// host that was known to be down, and nobody heard how the probe ended.
func TestGroup_KeepsProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, 2)
		down := withHost(t, "down.example")
		g.Do(down, fail)
		time.Sleep(time.Minute)
		go g.Do(down, func(context.Context) error { time.Sleep(time.Second); return errDown })
		synctest.Wait()
		for i := range 10 {
			g.Do(withHost(t, fmt.Sprint(i)), succeed)
		}
		if got := len(g.Breakers()); got != 2 {
			t.Errorf("%d breakers, want 2", got)
		}
		wantErr(t, g.Do(down, succeed), ErrOpen)
		wantState(t, g.For(down), HalfOpen)
		time.Sleep(2 * time.Second)
		wantState(t, g.For(down), Open)

		time.Sleep(time.Hour)
		g.Do(down, succeed) // a probe that is over keeps nothing
		for i := range 10 {
			g.Do(withHost(t, fmt.Sprint(i)), succeed)
		}
		if g.Breakers()["down.example"] != nil {
			t.Error("the breaker is kept, though its probe is over")
		}
	})
}

// TestGroup_FullOfOpen holds what becomes of newcomers when all breakers must
// be kept: they are let through, unguarded, until a cooldown ends.
func TestGroup_FullOfOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, 3)
		for i := range 3 {
			g.Do(withHost(t, fmt.Sprint(i)), fail)
		}
		newcomer := withHost(t, "newcomer")
		for range 3 {
			wantErr(t, g.Do(newcomer, fail), errDown)
		}
		if got := g.Breakers(); len(got) != 3 || got["newcomer"] != nil {
			t.Errorf("breakers of %v, want those of the first three", got)
		}
		time.Sleep(time.Minute)
		wantErr(t, g.Do(newcomer, fail), errDown)
		wantErr(t, g.Do(newcomer, succeed), ErrOpen)
	})
}

// TestGroup_Transitions holds that the breakers of a group say whose they are.
func TestGroup_Transitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var diary diary
		g := NewGroup(GroupConfig{
			Breaker: Config{Name: "hosts", Consecutive: 1, OnTransition: diary.write},
			Key:     host,
		})
		for _, host := range []string{"a.example", "b.example"} {
			g.Do(withHost(t, host), fail)
			if got := diary.last(); got.Name != "hosts" || got.Key != host || got.Generation != 1 {
				t.Errorf("transition of %q %q, generation %d; want hosts %q, 1", got.Name, got.Key, got.Generation, host)
			}
		}
	})
}
