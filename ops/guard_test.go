package ops

import (
	"context"
	"maps"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/breaker/shared"
	"github.com/redoubt-go/redoubt/failover"
	"github.com/redoubt-go/redoubt/hedge"
)

// mirrors returns a failover of two endpoints with a breaker each.
func mirrors(name string) *failover.Failover {
	return failover.New(failover.Config{
		Name: name, Endpoints: []string{"http://a.test", "http://b.test"},
		Guard: func(endpoint string) failover.Layer { return redoubt.Stack{newBreaker(name + " " + endpoint)} },
	})
}

// The breakers in a failover's guards were once not there, wherever it was.
func TestView_Guards(t *testing.T) {
	outermost := &http.Client{Transport: &failover.Transport{Failover: mirrors("outermost"), Base: &redoubt.Transport{Layer: newBreaker("further in")}}}
	base := &http.Client{Transport: &redoubt.Transport{
		Layer: newBreaker("around"),
		Base:  &hedge.Transport{Base: &failover.Transport{Failover: mirrors("base")}},
	}}
	v := newView(t, Config{Clients: []*http.Client{outermost, base}, Layers: []redoubt.Layer{redoubt.Stack{mirrors("layer")}}})
	var got []string
	for _, row := range get(t, v, "/state").Breakers.Rows {
		got = append(got, row.Name)
	}
	const want = "around,base http://a.test,base http://b.test,further in,layer http://a.test,layer http://b.test,outermost http://a.test,outermost http://b.test"
	if strings.Join(got, ",") != want {
		t.Errorf("breakers %q, want %q", got, want)
	}
}

// A chain of RoundTrippers that is a ring is not followed for ever.
func TestView_Ring(t *testing.T) {
	ring := &hedge.Transport{}
	ring.Base = ring
	newView(t, Config{Clients: []*http.Client{{Transport: ring}}})
}

// A breaker that processes share is shown as this one last saw it, says why it is
// open, and can be reset but not forced.
func TestView_Shared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := shared.New(shared.Config{
			Name: "mirror", Key: "a.test", Store: shared.NewFileStore(t.TempDir()), Consecutive: 2, Cooldown: 10 * time.Second, Jitter: shared.NoJitter,
		})
		v := newView(t, Config{Layers: []redoubt.Layer{b}, Authorize: anybody})
		if got := get(t, v, "/state").Breakers.Rows[0]; got.State != "closed" || !got.Shared || got.Key != "a.test" || got.Rule.Consecutive != 2 {
			t.Errorf("row is %+v, want a closed one that is shared", got)
		}
		for range 2 {
			_ = b.Do(t.Context(), refuse)
		}
		row := get(t, v, "/state").Breakers.Rows[0]
		if row.State != "open" || row.Trouble != open || len(row.Transitions) != 1 {
			t.Fatalf("row is %+v, want an open one", row)
		}
		if got := row.Transitions[0]; got.Reason != "consecutive" || got.CooldownSeconds != 10 || got.Counts.Consecutive != 2 || got.Error == "" {
			t.Errorf("it opened by %+v, want two failures in a row", got)
		}
		time.Sleep(10 * time.Second)
		if got := get(t, v, "/state").Breakers.Rows[0].State; got != breaker.HalfOpen.String() {
			t.Errorf("after its cooldown it is %s, want half-open", got)
		}

		for action, want := range map[string]int{ForceOpen: http.StatusBadRequest, ForceClosed: http.StatusBadRequest} {
			if got := do(v, row.ID, action); got != want {
				t.Errorf("%s: %d, want %d", action, got, want)
			}
		}
		if got := do(v, row.ID, Reset); got != http.StatusOK {
			t.Errorf("reset: %d, want 200", got)
		}
		if got := get(t, v, "/state").Breakers.Rows[0].State; got != "closed" {
			t.Errorf("after a reset it is %s, want closed", got)
		}
		if err := b.Do(t.Context(), succeed); err != nil {
			t.Errorf("after a reset Do returned %v", err)
		}
	})
}

func do(v *View, id, action string) int {
	return send(v, command(`{"id": "`+id+`", "action": "`+action+`"}`)).Code
}

// exchanged is a layer that is another now and then.
type exchanged struct{ now redoubt.Stack }

func (e *exchanged) Layers() redoubt.Stack { return e.now }

func (e *exchanged) Do(ctx context.Context, call func(context.Context) error) error {
	return e.now.Do(ctx, call)
}

// TestView_ExchangedTransport: a Transport that tells of its layers was shown by
// what is further in alone, and refused if it did not tell of that.
func TestView_ExchangedTransport(t *testing.T) {
	b := breaker.New(breaker.Config{Name: "inside"})
	client := &http.Client{Transport: exchangedTransport{&exchanged{redoubt.Stack{b}}}}
	v := newView(t, Config{Clients: []*http.Client{client}})
	if rows := get(t, v, "/state").Breakers.Rows; len(rows) != 1 || rows[0].Name != "inside" {
		t.Errorf("shown is %+v, want the breaker", rows)
	}
}

// exchangedTransport is a Transport that tells nothing but its layers.
type exchangedTransport struct{ *exchanged }

func (exchangedTransport) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, http.ErrNotSupported
}

// TestView_Exchanged holds that a layer is shown as it is now, and that a breaker
// which it no longer has can't be acted on.
func TestView_Exchanged(t *testing.T) {
	circuit := func(name string) *breaker.Breaker { return breaker.New(breaker.Config{Name: name, Consecutive: 1}) }
	stays := circuit("stays")
	layer := &exchanged{redoubt.Stack{circuit("goes"), stays}}
	v := New(Config{Layers: []redoubt.Layer{layer}, Authorize: func(*http.Request) error { return nil }})
	rows := func() map[string]string {
		ids := map[string]string{}
		for _, row := range get(t, v, "/state").Breakers.Rows {
			ids[row.Name] = row.ID
		}
		return ids
	}
	if got, want := rows(), (map[string]string{"goes": "b1", "stays": "b2"}); !maps.Equal(got, want) {
		t.Errorf("shown is %v, want %v", got, want)
	}
	layer.now = redoubt.Stack{circuit("comes"), stays}
	if got, want := rows(), (map[string]string{"comes": "b3", "stays": "b2"}); !maps.Equal(got, want) {
		t.Errorf("then %v, want %v", got, want)
	}
	for id, want := range map[string]int{"b1": http.StatusNotFound, "b2": http.StatusOK, "b3": http.StatusOK} {
		if got := do(v, id, ForceOpen); got != want {
			t.Errorf("a command to %s: %d, want %d", id, got, want)
		}
	}
}
