package limit

import (
	"cmp"
	"context"
	"errors"
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

func newGroup(t *testing.T, config Config, limit int) *Group {
	t.Helper()
	config.Name = cmp.Or(config.Name, "hosts")
	g := NewGroup(GroupConfig{Limiter: config, Key: host, Max: limit})
	if err := g.Check(); err != nil {
		t.Fatal(err)
	}
	return g
}

func TestGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, Config{Fixed: 1}, 0)
		a, b := withHost(t, "a.example"), withHost(t, "b.example")
		occupy(t, g.For(a), 1)
		err := g.Do(a, succeed)
		if got, want := text(err), "limit: hosts a.example: 1 of 1 calls are under way"; got != want {
			t.Errorf("err = %q, want %q", got, want)
		}
		if refusal, ok := errors.AsType[*Error](err); !ok || refusal.Name != "hosts" || refusal.Key != "a.example" {
			t.Errorf("refused with %+v, want hosts, a.example", refusal)
		}
		wantErr(t, g.Do(b, succeed), nil)

		all := g.Limiters()
		if len(all) != 2 || all["a.example"] != g.For(a) || all["b.example"] != g.For(b) {
			t.Errorf("Limiters() = %v, want those of For", all)
		}
		if l := all["a.example"]; l.Name() != "hosts" || l.key != "a.example" {
			t.Errorf("name %q, key %q; want hosts, a.example", l.Name(), l.key)
		}
		if got := g.Name(); got != "hosts" {
			t.Errorf("Name() = %q, want hosts", got)
		}
		clear(all)
		if got := len(g.Limiters()); got != 2 {
			t.Errorf("%d limiters, want 2: the map is the caller's own", got)
		}
	})
}

func TestGroup_Check(t *testing.T) {
	tests := []struct {
		config GroupConfig
		want   string
	}{
		{GroupConfig{}, "limit: group: Key is nil, must be a function"},
		{GroupConfig{Limiter: Config{Name: "hosts"}}, "limit: hosts: group: Key is nil, must be a function"},
		{GroupConfig{Limiter: Config{Name: "hosts"}, Key: host, Max: -1}, "limit: hosts: group: Max is -1, must not be negative"},
		{GroupConfig{Limiter: Config{Fixed: -1}, Key: host}, "limit: Fixed is -1, must be from 1 to 1073741824"},
	}
	for _, tt := range tests {
		g := NewGroup(tt.config)
		for what, err := range map[string]error{
			"Check": g.Check(), "Do": g.Do(t.Context(), succeed), "Check of For": g.For(t.Context()).Check(),
		} {
			if got := text(err); got != tt.want {
				t.Errorf("%s: %q, want %q", what, got, tt.want)
			}
		}
		if got := len(g.Limiters()); got != 0 {
			t.Errorf("%d limiters, want none", got)
		}
	}
}

// TestGroup_Keeps holds which limiters are never forgotten.
func TestGroup_Keeps(t *testing.T) {
	tests := []struct {
		name string
		do   func(t *testing.T, l *Limiter)
		want bool
	}{
		{"idle", func(t *testing.T, l *Limiter) { wantErr(t, l.Do(t.Context(), succeed), nil) }, false},
		{"in use", func(t *testing.T, l *Limiter) { occupy(t, l, 1) }, true},
		{"waited for", func(t *testing.T, l *Limiter) { occupy(t, l, 2) }, true},
		{"in use no more", func(t *testing.T, l *Limiter) {
			occupy(t, l, 2)()
			synctest.Wait()
		}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGroup(t, Config{Fixed: 1, MaxWait: time.Hour}, 2)
				kept := g.For(withHost(t, "kept"))
				tt.do(t, kept)
				for i := range 10 {
					wantErr(t, g.Do(withHost(t, fmt.Sprint(i)), succeed), nil)
				}
				all := g.Limiters()
				if got := all["kept"] == kept; got != tt.want {
					t.Errorf("kept = %t, want %t", got, tt.want)
				}
				if len(all) != 2 || all["9"] == nil {
					t.Errorf("limiters of %v, want 2, that of 9 among them", all)
				}
			})
		})
	}
}

// TestGroup_Full holds what becomes of newcomers when all limiters are in use:
// they run, each under a limiter of its own.
func TestGroup_Full(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, Config{Fixed: 1}, 3)
		for i := range 3 {
			occupy(t, g.For(withHost(t, fmt.Sprint(i))), 1)
		}
		wantErr(t, g.Do(withHost(t, "newcomer"), succeed), nil)
		if got := g.Limiters(); len(got) != 3 || got["newcomer"] != nil {
			t.Errorf("limiters of %v, want those of the first three", got)
		}
		wantErr(t, g.Do(withHost(t, "1"), succeed), ErrLimited)
	})
}

func TestGroup_Bounded(t *testing.T) {
	g := newGroup(t, Config{}, 0)
	for i := range 3 * DefaultMaxLimiters {
		wantErr(t, g.Do(withHost(t, fmt.Sprint(i)), succeed), nil)
	}
	if got := len(g.Limiters()); got != DefaultMaxLimiters {
		t.Errorf("%d limiters, want %d", got, DefaultMaxLimiters)
	}
}
