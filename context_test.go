package redoubt

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt/internal/roundtrip"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"
)

// The standard library's key is learned from its own function, which has to go on
// asking for it.
func TestKeyIsKnown(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	trace := new(httptrace.ClientTrace)
	if got := httptrace.WithClientTrace(ctx, trace).Value(traceKey); got != trace {
		t.Errorf("the key of package httptrace leads to %v", got)
	}
}

// A graft has the life of one context and the values of another.
func TestGraft(t *testing.T) {
	type key string
	cause := errors.New("cause")
	life, end := context.WithCancelCause(context.WithValue(t.Context(), key("life"), "life"))
	values, endValues := context.WithCancelCause(context.WithValue(context.Background(), key("values"), "values"))
	g := &graft{Graft: roundtrip.Graft{Context: life, Values: values}}
	child, cancel := context.WithCancel(g)
	defer cancel()

	if g.Value(key("life")) != "life" || g.Value(key("values")) != "values" || g.Value(key("none")) != nil {
		t.Errorf("values %v, %v, %v", g.Value(key("life")), g.Value(key("values")), g.Value(key("none")))
	}
	endValues(errors.New("not of interest"))
	if err := context.Cause(child); err != nil {
		t.Errorf("it ended with its values: %v", err)
	}
	end(cause)
	if context.Cause(g) != cause || context.Cause(child) != cause { // at once, so by no goroutine
		t.Errorf("causes %v, %v, want %v", context.Cause(g), context.Cause(child), cause)
	}
}

// linked is a context that a Transport knows all about.
type linked struct {
	context.Context
	end time.Time
}

func (l linked) Link() (context.Context, time.Time) { return l.Context, l.end }

func (l linked) Deadline() (time.Time, bool) {
	if l.end.IsZero() {
		return l.Context.Deadline()
	}
	return l.end, true
}

func (l linked) Err() error {
	if !l.end.IsZero() && !time.Now().Before(l.end) {
		return context.DeadlineExceeded
	}
	return l.Context.Err()
}

func (l linked) Done() <-chan struct{} {
	if l.end.IsZero() {
		return l.Context.Done()
	}
	panic("nobody has to ask")
}

func TestEndOf(t *testing.T) {
	root := context.Context(&hostContext{Context: t.Context()})
	now := time.Now()
	link := func(parent context.Context, in time.Duration) context.Context {
		return linked{parent, now.Add(in)}
	}
	plain := linked{root, time.Time{}}
	foreign, cancel := context.WithCancel(root)
	defer cancel()
	tests := []struct {
		name   string
		layers context.Context //nolint:containedctx // It is the input.
		want   time.Time
		known  bool
	}{
		{"root", root, time.Time{}, true},
		{"link without an end", plain, time.Time{}, true},
		{"link with an end", link(root, time.Second), now.Add(time.Second), true},
		{"the outer end is earlier", link(linked{link(root, time.Second), time.Time{}}, time.Minute), now.Add(time.Second), true},
		{"the inner end is earlier", link(link(root, time.Minute), time.Second), now.Add(time.Second), true},
		{"foreign", foreign, time.Time{}, false},
		{"foreign within a link", link(foreign, time.Second), time.Time{}, false},
		{"link within a foreign one", context.WithValue(plain, hostKey{}, ""), time.Time{}, false},
		{"of another root", t.Context(), time.Time{}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, known := endOf(tt.layers, root)
			if !got.Equal(tt.want) || known != tt.known {
				t.Errorf("%v, %t, want %v, %t", got, known, tt.want, tt.known)
			}
		})
	}
}

// A layer's limit that is known in advance ends the attempt when it should, with
// the reason, and not the body.
func TestTransport_KnownEndOfLayers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &Transport{
			Layer: LayerFunc(func(ctx context.Context, call func(context.Context) error) error {
				return call(linked{linked{ctx, time.Now().Add(time.Second)}, time.Time{}})
			}),
			Base: baseFunc(func(req *http.Request) (*http.Response, error) {
				if req.Method == http.MethodPut {
					<-req.Context().Done()
					return nil, context.Cause(req.Context())
				}
				r, w := io.Pipe()
				go func() {
					time.Sleep(time.Hour)
					_, _ = w.Write([]byte("late"))
					_ = w.CloseWithError(context.Cause(req.Context()))
				}()
				return &http.Response{StatusCode: http.StatusOK, Body: r, Request: req}, nil
			}),
			StallTimeout: NoStallTimeout,
		}
		start := time.Now()
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://billing.test/", http.NoBody)
		_, err := tr.RoundTrip(req)
		if took := time.Since(start); took != time.Second || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v after %v", err, took)
		}
		req, _ = http.NewRequestWithContext(t.Context(), http.MethodGet, "http://billing.test/", http.NoBody)
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if string(body) != "late" || err != nil {
			t.Errorf("body %q, %v", body, err)
		}
		_ = resp.Body.Close()
	})
}

type baseFunc func(*http.Request) (*http.Response, error)

func (f baseFunc) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// The layers of this module are such that all is known of their contexts.
func TestEndOf_Layers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := &hostContext{Context: t.Context()}
		stack := Stack{timeout.Limit(time.Minute), retry.Policy{}, timeout.Limit(time.Second)}
		err := stack.Do(root, func(ctx context.Context) error {
			end, known := endOf(ctx, root)
			if want := time.Now().Add(time.Second); !end.Equal(want) || !known {
				t.Errorf("%v, %t, want %v", end, known, want)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}
