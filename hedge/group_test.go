package hedge_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/hedge"
	"github.com/redoubt-go/redoubt/internal/memhttp"
)

type tenantKey struct{}

func tenant(ctx context.Context) string {
	key, _ := ctx.Value(tenantKey{}).(string)
	return key
}

func as(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, tenantKey{}, key)
}

// One Hedger for a quick host and a slow one has the delay of neither.
func TestGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := hedge.NewGroup(hedge.GroupConfig{Hedger: hedge.Config{Name: "tenants"}, Key: tenant, Max: 2})
		quick, slow := as(t.Context(), "quick"), as(t.Context(), "slow")
		took := map[string]time.Duration{"quick": 10 * time.Millisecond, "slow": 500 * time.Millisecond}
		call := func(ctx context.Context) error {
			_, err := hedge.Func(g.For(ctx), func(ctx context.Context) (int, error) {
				time.Sleep(took[tenant(ctx)])
				return 0, nil
			})(ctx)
			return err
		}
		for range 25 {
			if err := errors.Join(call(quick), call(slow)); err != nil {
				t.Fatal(err)
			}
		}
		for key, want := range took {
			got, ok := g.For(as(t.Context(), key)).Delay()
			if !ok || got < want || got > want*104/100 {
				t.Errorf("the delay for %s is %v, %v, want %v and at most 3.2 %% more", key, got, ok, want)
			}
		}
		if got := len(g.Hedgers()); got != 2 {
			t.Errorf("%d hedgers, want 2", got)
		}
		before := g.For(quick)
		for i := range 9 {
			g.For(as(t.Context(), fmt.Sprint(i)))
		}
		if got := len(g.Hedgers()); got != 2 || g.For(quick) == before {
			t.Errorf("%d hedgers, and quick's not forgotten, want 2 and a new one", got)
		}
	})
}

func TestGroup_Check(t *testing.T) {
	for _, tt := range []struct {
		name  string
		group *hedge.Group
		want  string
	}{
		{"well", hedge.NewGroup(hedge.GroupConfig{Key: tenant}), "<nil>"},
		{"nil", nil, "hedge: Group is nil or zero, must be made with NewGroup"},
		{"zero", &hedge.Group{}, "hedge: Group is nil or zero, must be made with NewGroup"},
		{"no key", hedge.NewGroup(hedge.GroupConfig{}), `hedge: group "": Key is nil, must be a function`},
		{"max", hedge.NewGroup(hedge.GroupConfig{Key: tenant, Max: -1}), `hedge: group "": Max is -1, must not be negative`},
		{"the hedgers", hedge.NewGroup(hedge.GroupConfig{Key: tenant, Hedger: hedge.Config{Delay: -1}}), `hedge: "": Delay is -1ns, must not be negative`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := fmt.Sprint(tt.group.Check()); got != tt.want {
				t.Errorf("Check() = %s, want %s", got, tt.want)
			}
			transport := &hedge.Transport{Hedgers: tt.group}
			if tt.group == nil {
				return
			}
			if got := fmt.Sprint(transport.Check()); got != tt.want {
				t.Errorf("Transport.Check() = %s, want %s", got, tt.want)
			}
			_, err := hedge.Func(tt.group.For(t.Context()), func(context.Context) (int, error) { return 0, nil })(t.Context())
			if got := fmt.Sprint(err); got != tt.want {
				t.Errorf("a call returned %s, want %s", got, tt.want)
			}
		})
	}
	both := &hedge.Transport{Hedger: hedge.New(hedge.Config{}), Hedgers: hedge.NewGroup(hedge.GroupConfig{Key: tenant})}
	if got, want := fmt.Sprint(both.Check()), "hedge: Transport: Hedger and Hedgers are both set, want at most one"; got != want {
		t.Errorf("Check() = %s, want %s", got, want)
	}
	if got := fmt.Sprint((*hedge.Group)(nil).For(t.Context()).Check()); got != "hedge: Group is nil or zero, must be made with NewGroup" {
		t.Errorf("Check() = %s", got)
	}
}

// A Transport hedges each host by its own Hedger.
func TestGroup_Transport(t *testing.T) {
	bubble(t, func(t *testing.T, base *memhttp.Server) {
		g := hedge.NewGroup(hedge.GroupConfig{
			Hedger: hedge.Config{Name: "hosts", Delay: time.Second, MaxExtra: 1, Burst: 1}, Key: redoubt.Host,
		})
		rt := &redoubt.Transport{Base: &hedge.Transport{Base: base.Transport, Hedgers: g}}
		for _, want := range []string{"hedge", "hedge of the other host"} {
			req := newRequest(t.Context(), t, http.MethodGet, nil)
			if want != "hedge" {
				req.URL.Host = "other.example"
			}
			if status, body := send(t, rt, req); status != 200 || body != want {
				t.Errorf("got %d %q, want 200 %q", status, body, want)
			}
		}
		if got := g.Hedgers(); len(got) != 2 {
			t.Errorf("hedgers %v, want two", got)
		}
		r := rt.Explain()
		if got, want := r.Layers[0].Numbers, "1 hedge after 1s; one for each key"; got != want {
			t.Errorf("Numbers = %q, want %q", got, want)
		}
	}, after(time.Hour, 200, "first"), after(time.Second, 200, "hedge"), after(time.Hour, 200, "first"), after(time.Second, 200, "hedge of the other host"))
}
