package redoubttest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

type call = func(context.Context) error

type layerFunc func(ctx context.Context, call call) error

func (f layerFunc) Do(ctx context.Context, call func(context.Context) error) error {
	if call == nil {
		return errors.New("nil call")
	}
	return f(ctx, call)
}

// A transcript is a reporter that keeps what it is told.
type transcript struct {
	mu    sync.Mutex
	lines []string
}

func (*transcript) Helper() {}

func (r *transcript) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, fmt.Sprintf(format, args...))
}

func (r *transcript) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.lines) > 0
}

func (r *transcript) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.lines, "\n")
}

// Layers that keep the law.

func passThrough() Layer {
	return layerFunc(func(ctx context.Context, call call) error { return call(ctx) })
}

// elsewhere runs the call on another goroutine and carries over every ending.
func elsewhere() Layer {
	return layerFunc(func(ctx context.Context, call call) error {
		var end ending
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer func() {
				if !end.returned {
					end.panicked = recover()
				}
			}()
			end.err = call(ctx)
			end.returned = true
		}()
		<-done
		switch {
		case end.panicked != nil:
			panic(end.panicked)
		case !end.returned:
			runtime.Goexit()
		}
		return end.err
	})
}

// repeating gives a call three attempts.
func repeating() Layer {
	return layerFunc(func(ctx context.Context, call call) error {
		err := call(ctx)
		for range 2 {
			if err == nil || sleep(ctx, time.Second) != nil {
				return err
			}
			err = call(ctx)
		}
		if err != nil {
			return fmt.Errorf("gave up: %w", err)
		}
		return nil
	})
}

// limiting gives a call 70 ms, and says so.
func limiting() Layer {
	return layerFunc(func(ctx context.Context, call call) error {
		ctx, cancel := context.WithTimeout(ctx, 70*time.Millisecond)
		defer cancel()
		err := call(ctx)
		if err != nil && ctx.Err() != nil {
			return fmt.Errorf("exceeded 70ms: %w", err)
		}
		return err
	})
}

// refusing refuses all calls for a minute after five failures in a row.
func refusing() Layer {
	var mu sync.Mutex
	failures, until := 0, time.Time{}
	admit := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return !time.Now().Before(until)
	}
	return layerFunc(func(ctx context.Context, call call) error {
		if !admit() {
			return errors.New("refused")
		}
		failed := true
		defer func() {
			mu.Lock()
			defer mu.Unlock()
			if failures++; !failed {
				failures = 0
			}
			if failures >= 5 {
				until = time.Now().Add(time.Minute)
			}
		}()
		err := call(ctx)
		failed = err != nil
		return err
	})
}

// permits is a limiter of ten calls at a time. If waits is set, a call waits
// for a permit. If leaks is set, a panic and a Goexit keep theirs.
func permits(waits, leaks bool) func() Layer {
	return func() Layer {
		sem := make(chan struct{}, 10)
		acquire := func(ctx context.Context) error {
			select {
			case sem <- struct{}{}:
				return nil
			default:
			}
			if !waits {
				return errors.New("refused")
			}
			select {
			case sem <- struct{}{}:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return layerFunc(func(ctx context.Context, call call) error {
			if err := acquire(ctx); err != nil {
				return err
			}
			if !leaks {
				defer func() { <-sem }()
				return call(ctx)
			}
			err := call(ctx)
			<-sem
			return err
		})
	}
}

// oneByOne holds a mutex over the call.
func oneByOne() Layer {
	var mu sync.Mutex
	return layerFunc(func(ctx context.Context, call call) error {
		mu.Lock()
		defer mu.Unlock()
		return call(ctx)
	})
}

func TestCheckLayer(t *testing.T) {
	tests := []struct {
		name     string
		newLayer func() Layer
	}{
		{"pass through", passThrough},
		{"elsewhere", elsewhere},
		{"repeating", repeating},
		{"limiting", limiting},
		{"refusing", refusing},
		{"permits", permits(false, false)},
		{"permits, waiting", permits(true, false)},
		{"one by one", oneByOne},
		{"stack", func() Layer {
			outer, inner := repeating(), refusing()
			return layerFunc(func(ctx context.Context, call call) error {
				return outer.Do(ctx, func(ctx context.Context) error { return inner.Do(ctx, call) })
			})
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { CheckLayer(t, tt.newLayer) })
	}
}

// A concrete type is inferred from newLayer.
func TestCheckLayer_ConcreteType(t *testing.T) {
	CheckLayer(t, func() layerFunc {
		return func(ctx context.Context, call call) error { return call(ctx) }
	})
}

func TestCheckLayer_Broken(t *testing.T) {
	tests := []struct {
		name  string
		layer layerFunc
		laws  string // to be broken
		want  string // in the report
	}{
		{
			name: "swallows errors",
			layer: func(ctx context.Context, call call) error {
				_ = call(ctx)
				return nil
			},
			laws: "ErrorShowsThrough OneRunAtATime WaitsForCall EndedContext ManyErrors ManyCancellations",
			want: "Do returned nil, but the last run of the call ended with",
		},
		{
			name: "hides errors",
			layer: func(ctx context.Context, call call) error {
				if err := call(ctx); err != nil {
					return fmt.Errorf("failed: %v", err)
				}
				return nil
			},
			laws: "ErrorShowsThrough DerivedContext",
			want: "errors.Is",
		},
		{
			name: "hides the last error behind the first",
			layer: func(ctx context.Context, call call) error {
				first := call(ctx)
				if first == nil {
					return nil
				}
				if call(ctx) == nil {
					return nil
				}
				return first
			},
			laws: "ErrorShowsThrough",
			want: "errors.Is(err, the last run's error) = false",
		},
		{
			name: "invents success",
			layer: func(context.Context, call) error {
				return nil
			},
			laws: "Success ErrorShowsThrough EndedContext Concurrent ManyErrors",
			want: "never ran the call",
		},
		{
			name: "invents failure",
			layer: func(ctx context.Context, call call) error {
				return errors.Join(call(ctx), errors.New("mine"))
			},
			laws: "Success Panic Goexit Concurrent ManyErrors ManyPanics ManyGoexits ManyCancellations",
			want: "succe",
		},
		{
			name: "always refuses",
			layer: func(context.Context, call) error {
				return errors.New("refused")
			},
			laws: "Success ErrorShowsThrough DerivedContext Panic Goexit Concurrent ManyErrors ManyPanics",
			want: "",
		},
		{
			name: "runs twice at the same time",
			layer: func(ctx context.Context, call call) error {
				errs := make(chan error, 2)
				for range 2 {
					go func() { errs <- call(ctx) }()
				}
				return errors.Join(<-errs, <-errs)
			},
			laws: "Success OneRunAtATime WaitsForCall",
			want: "while another run of it was in progress",
		},
		{
			name: "hedges slow calls",
			layer: func(ctx context.Context, call call) error {
				errs := make(chan error, 2)
				start := func() { errs <- call(ctx) }
				go start()
				select {
				case err := <-errs:
					return err
				case <-time.After(50 * time.Millisecond):
				}
				go start()
				return errors.Join(<-errs, <-errs)
			},
			laws: "OneRunAtATime WaitsForCall",
			want: "while another run of it was in progress",
		},
		{
			name: "abandons a call that is cancelled",
			layer: func(ctx context.Context, call call) error {
				done := make(chan error, 1)
				go func() { done <- call(ctx) }()
				select {
				case err := <-done:
					return err
				case <-ctx.Done():
					return ctx.Err()
				}
			},
			laws: "WaitsForCall",
			want: "Do returned while the call was still running",
		},
		{
			name: "abandons a slow call",
			layer: func(ctx context.Context, call call) error {
				done := make(chan error, 1)
				go func() { done <- call(ctx) }()
				select {
				case err := <-done:
					return err
				case <-time.After(30 * time.Second):
					return errors.New("too slow")
				}
			},
			laws: "WaitsForCall OneRunAtATime",
			want: "Do returned while the call was still running",
		},
		{
			name: "runs the call afterwards",
			layer: func(ctx context.Context, call call) error {
				time.AfterFunc(time.Minute, func() { _ = call(ctx) })
				return call(ctx)
			},
			laws: "Success",
			want: "after Do had returned",
		},
		{
			name: "makes up a context",
			layer: func(_ context.Context, call call) error {
				return call(context.Background())
			},
			laws: "DerivedContext EndedContext",
			want: "context",
		},
		{
			name: "keeps the values only",
			layer: func(ctx context.Context, call call) error {
				return call(context.WithoutCancel(ctx))
			},
			laws: "DerivedContext EndedContext",
			want: "the call",
		},
		{
			name: "keeps the cancellation only",
			layer: func(ctx context.Context, call call) error {
				own, cancel := context.WithCancel(context.Background())
				defer cancel()
				defer context.AfterFunc(ctx, cancel)()
				return call(own)
			},
			laws: "DerivedContext",
			want: "has value <nil>",
		},
		{
			name: "loses the reason",
			layer: func(ctx context.Context, call call) error {
				own, cancel := context.WithCancel(context.WithoutCancel(ctx))
				defer cancel()
				defer context.AfterFunc(ctx, cancel)()
				return call(own)
			},
			laws: "DerivedContext",
			want: "want the caller's redoubttest: caller went away",
		},
		{
			name: "passes a nil context",
			layer: func(_ context.Context, call call) error {
				return call(nil)
			},
			laws: "DerivedContext",
			want: "nil context",
		},
		{
			name: "makes an error of a panic",
			layer: func(ctx context.Context, call call) (err error) {
				defer func() {
					if p := recover(); p != nil {
						err = fmt.Errorf("panic: %v", p)
					}
				}()
				return call(ctx)
			},
			laws: "Panic",
			want: "the call's panic did not pass: Do returned panic: 0x",
		},
		{
			name: "wraps a panic",
			layer: func(ctx context.Context, call call) error {
				defer func() {
					if p := recover(); p != nil {
						panic(fmt.Sprint("wrapped: ", p))
					}
				}()
				return call(ctx)
			},
			laws: "Panic",
			want: "the call's panic did not pass: Do panicked with wrapped: 0x",
		},
		{
			name: "repeats a panic",
			layer: func(ctx context.Context, call call) error {
				func() {
					defer func() { _ = recover() }()
					_ = call(ctx)
				}()
				return call(ctx)
			},
			laws: "Panic",
			want: "run 2 times",
		},
		{
			name: "swallows Goexit",
			layer: func(ctx context.Context, call call) error {
				err := errors.New("exited")
				done := make(chan struct{})
				go func() {
					defer close(done)
					err = call(ctx)
				}()
				<-done
				return err
			},
			laws: "Goexit",
			want: "the call's Goexit did not pass: Do returned exited",
		},
		{
			name: "hangs after Goexit",
			layer: func(ctx context.Context, call call) error {
				done := make(chan error)
				go func() { done <- call(ctx) }()
				return <-done
			},
			laws: "Goexit ManyGoexits",
			want: "Do has not returned",
		},
		{
			name: "leaves a goroutine blocked",
			layer: func(ctx context.Context, call call) error {
				go func() { select {} }()
				return call(ctx)
			},
			laws: "Success", // each run of this one leaves a goroutine to the process
			want: "left behind: 1\n\ngoroutine",
		},
		{
			name: "leaves a ticker running",
			layer: func(ctx context.Context, call call) error {
				go func() {
					for range time.Tick(time.Minute) {
					}
				}()
				return call(ctx)
			},
			laws: "Success",
			want: "left behind: 1\n\ngoroutine",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for name := range strings.FieldsSeq(tt.laws) {
				got := report(t, name, func() Layer { return tt.layer })
				if got == "" || !strings.Contains(got, tt.want) {
					t.Errorf("%s reports %q, want it to have %q in it", name, got, tt.want)
				}
			}
		})
	}
}

// Layers whose memory a panic or a Goexit damages.
func TestCheckLayer_Leaky(t *testing.T) {
	tests := []struct {
		name     string
		newLayer func() Layer
		laws     string
	}{
		{"permits", permits(false, true), "ManyPanics ManyGoexits"},
		{"permits, waiting", permits(true, true), "ManyPanics ManyGoexits"},
		{"probe slot", wedged, "ManyErrors ManyCancellations"},
		{"context", firstContext, "Concurrent"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for name := range strings.FieldsSeq(tt.laws) {
				if got := report(t, name, tt.newLayer); got == "" {
					t.Errorf("%s passes, want a report", name)
				}
			}
		})
	}
}

// wedged is open after a failure and lets one probe in, the only one ever.
func wedged() Layer {
	var mu sync.Mutex
	open, probing := false, false
	return layerFunc(func(ctx context.Context, call call) error {
		mu.Lock()
		admitted := !open || !probing
		probing = open
		mu.Unlock()
		if !admitted {
			return errors.New("refused")
		}
		err := call(ctx)
		mu.Lock()
		defer mu.Unlock()
		open = open || err != nil
		return err
	})
}

// firstContext hands the context of its first caller to everyone.
func firstContext() Layer {
	var once sync.Once
	var first context.Context
	return layerFunc(func(ctx context.Context, call call) error {
		once.Do(func() { first = ctx }) //nolint:fatcontext // That is what is wrong with it.
		return call(first)
	})
}

func TestCheckLayer_NilCall(t *testing.T) {
	for name, layer := range map[string]Layer{
		"panics":      unguarded{},
		"returns nil": layerThatAgrees{},
	} {
		t.Run(name, func(t *testing.T) {
			got := report(t, "NilCall", func() Layer { return layer })
			if !strings.Contains(got, "Do with a nil call") {
				t.Errorf("report = %q, want it to tell of the nil call", got)
			}
		})
	}
}

type unguarded struct{}

func (unguarded) Do(ctx context.Context, call func(context.Context) error) error { return call(ctx) }

type layerThatAgrees struct{}

func (layerThatAgrees) Do(context.Context, func(context.Context) error) error { return nil }

// A mutex that stays locked stops the clock of the bubble, so that no timer
// in it can tell.
func TestCheckLayer_LockedMutex(t *testing.T) {
	var mu sync.Mutex
	layer := layerFunc(func(ctx context.Context, call call) error {
		mu.Lock()
		err := call(ctx)
		mu.Unlock()
		return err
	})
	var r transcript
	find(t, "Panic").run(t, &r, func() Layer { return layer }, 200*time.Millisecond)
	if got := r.String(); !strings.Contains(got, "stuck") {
		t.Errorf("report = %q, want stuck", got)
	}
	// The mutex stays locked: a bubble that went on now would end at any time,
	// and tell package testing of it when that has ended itself.
}

// The report of a leak has the stack of the goroutine.
func TestCheckLayer_LeakHasStack(t *testing.T) {
	got := report(t, "Success", func() Layer {
		return layerFunc(func(ctx context.Context, call call) error {
			go func() { select {} }()
			return call(ctx)
		})
	})
	if want := "TestCheckLayer_LeakHasStack"; !strings.Contains(got, want) {
		t.Errorf("report = %q, want %q in it", got, want)
	}
}

// report returns what the named law reports of the layer.
func report(t *testing.T, name string, newLayer func() Layer) string {
	t.Helper()
	var r transcript
	find(t, name).run(t, &r, newLayer, time.Minute)
	return r.String()
}

func find(t *testing.T, name string) law {
	t.Helper()
	for _, l := range laws() {
		if l.name == name {
			return l
		}
	}
	t.Fatalf("no law %q", name)
	return law{}
}
