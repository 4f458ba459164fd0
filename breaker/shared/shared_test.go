package shared

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/internal/explain"
	"github.com/redoubt-go/redoubt/redoubttest"
)

var errDown = errors.New("down: https://user:secret@example.org")

func TestLayer(t *testing.T) {
	redoubttest.CheckLayer(t, func() *Breaker { return New(Config{Name: "b", Store: new(memory)}) })
}

func TestLayerWithFiles(t *testing.T) {
	dir := t.TempDir()
	n := 0
	redoubttest.CheckLayer(t, func() *Breaker {
		n++
		return New(Config{Name: "b", Key: strings.Repeat("x", n), Store: NewFileStore(dir)})
	})
}

func TestLayerWithoutStore(t *testing.T) {
	redoubttest.CheckLayer(t, func() *Breaker { return New(Config{Name: "b", Store: broken{}}) })
}

// broken is a store that can't be used.
type broken struct{}

var errBroken = errors.New("store is broken")

func (broken) Load(context.Context, string) ([]byte, error) { return nil, errBroken }

func (broken) CompareAndSwap(context.Context, string, []byte, []byte, time.Duration) (bool, error) {
	return false, errBroken
}

func (broken) Values(context.Context) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) { yield(nil, errBroken) }
}

func do(b *Breaker, err error) error {
	return b.Do(context.Background(), func(context.Context) error { return err })
}

func TestOpenIsHonouredByTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		next := func() *Breaker { // another process, as far as memory goes
			return New(Config{Name: "hg", Key: "mirror", Store: NewFileStore(dir), Jitter: NoJitter})
		}
		for i := range DefaultConsecutive {
			if err := do(next(), errDown); !errors.Is(err, errDown) {
				t.Fatalf("call %d: %v", i, err)
			}
		}
		err := do(next(), nil)
		e, ok := errors.AsType[*breaker.OpenError](err)
		if !ok || !errors.Is(err, breaker.ErrOpen) || !errors.Is(err, gobreaker.ErrOpenState) {
			t.Fatalf("err = %v, want an OpenError", err)
		}
		if after, ok := e.RetryAfter(); after != DefaultCooldown || !ok || !e.Retryable() || !e.Rejected() || e.ErrorType() != "breaker_open" {
			t.Errorf("%v: RetryAfter %v, %v", e, after, ok)
		}
		cause, ok := errors.AsType[*Failure](e.Cause)
		if !ok || cause.PID != os.Getpid() || e.Counts != (breaker.Counts{Failures: 5, Consecutive: 5}) {
			t.Errorf("cause %v, counts %+v", e.Cause, e.Counts)
		}
		if text := err.Error(); !strings.HasPrefix(text, "breaker: hg mirror is open (5 failures in a row), last: _OTHER in process ") {
			t.Error(text)
		}
		files, _ := filepath.Glob(filepath.Join(dir, "*"))
		for _, file := range files {
			if data, err := os.ReadFile(file); err != nil || bytes.Contains(data, []byte("secret")) {
				t.Errorf("%s holds a secret:\n%s", file, data)
			}
		}

		time.Sleep(DefaultCooldown - time.Nanosecond)
		if s := next().State(); s != breaker.Open {
			t.Errorf("just before the end of the cooldown: %v", s)
		}
		time.Sleep(time.Nanosecond)
		if s := next().State(); s != breaker.HalfOpen {
			t.Errorf("at the end of the cooldown: %v", s)
		}
		if err := do(next(), errDown); !errors.Is(err, errDown) {
			t.Errorf("the probe was not made: %v", err)
		}
		err = do(next(), nil)
		if !errors.As(err, &e) || e.Until.Sub(e.Opened) != 2*DefaultCooldown || e.Reason != breaker.ReasonProbeFailed {
			t.Errorf("after a failed probe: %v until %v", err, e.Until)
		}
		time.Sleep(2 * DefaultCooldown)
		if err := do(next(), nil); err != nil {
			t.Error(err)
		}
		if s := next().State(); s != breaker.Closed {
			t.Errorf("after a good probe: %v", s)
		}
	})
}

func TestOneProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := NewFileStore(t.TempDir())
		next := func() *Breaker { return New(Config{Name: "b", Store: store, Consecutive: 1, Jitter: NoJitter}) }
		do(next(), errDown)
		time.Sleep(DefaultCooldown)
		var wg sync.WaitGroup
		var mu sync.Mutex
		ran, refused := 0, 0
		for range 10 {
			wg.Go(func() {
				err := next().Do(t.Context(), func(context.Context) error {
					time.Sleep(3 * DefaultLease) // the lease is renewed
					mu.Lock()
					defer mu.Unlock()
					ran++
					return nil
				})
				mu.Lock()
				defer mu.Unlock()
				if e, ok := errors.AsType[*breaker.OpenError](err); ok && e.State == breaker.HalfOpen && e.Until.IsZero() {
					refused++
				}
			})
		}
		time.Sleep(2 * DefaultLease)
		c, err := next().Status(t.Context())
		if err != nil || c.State != breaker.HalfOpen || c.Prober == nil || c.Prober.PID != os.Getpid() {
			t.Errorf("while it is probed: %+v, %v", c, err)
		}
		if err := do(next(), nil); !errors.Is(err, gobreaker.ErrTooManyRequests) {
			t.Errorf("a second probe after the lease's own time: %v", err)
		}
		wg.Wait()
		if ran != 1 || refused != 9 {
			t.Errorf("%d ran, %d were refused; want 1, 9", ran, refused)
		}
		if s := next().State(); s != breaker.Closed {
			t.Errorf("after the probe: %v", s)
		}
	})
}

func TestProbeThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Config{Name: "b", Store: new(memory), Consecutive: 1, Jitter: NoJitter})
		do(b, errDown)
		time.Sleep(DefaultCooldown)
		done := make(chan error)
		go func() {
			done <- b.Do(t.Context(), func(context.Context) error {
				time.Sleep(time.Hour)
				return nil
			})
		}()
		time.Sleep(DefaultProbeTimeout + 1)
		var e *breaker.OpenError
		if err := do(b, nil); !errors.As(err, &e) || e.Reason != breaker.ReasonProbeTimeout || e.State != breaker.Open {
			t.Errorf("after the probe's time: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("the probe itself returned %v", err)
		}
		if s := b.State(); s != breaker.HalfOpen {
			t.Errorf("a late success changed the state to %v", s)
		}
	})
}

func TestProbeGivesItsLeaseBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Config{Name: "b", Store: new(memory), Consecutive: 1, Jitter: NoJitter})
		do(b, errDown)
		time.Sleep(DefaultCooldown)
		ctx, cancel := context.WithCancel(t.Context())
		b.Do(ctx, func(context.Context) error {
			cancel()
			return ctx.Err()
		})
		if err := do(b, nil); err != nil {
			t.Errorf("after a cancelled probe: %v", err)
		}
		if s := b.State(); s != breaker.Closed {
			t.Errorf("state %v, want closed", s)
		}
	})
}

func TestDegrades(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	slow := NewFileStore(t.TempDir())
	for _, tt := range []struct {
		name  string
		store Store
	}{
		{"not a directory", NewFileStore(file)},
		{"can't be made", NewFileStore(filepath.Join(file, "below"))},
		{"no name", NewFileStore("\x00")},
		{"broken", broken{}},
		{"can't be written", unwritable{new(memory)}},
		{"hangs", hanging{slow}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				b := New(Config{Name: "b", Store: tt.store, Jitter: NoJitter, Logger: slog.New(slog.NewTextHandler(&log, nil))})
				for range DefaultConsecutive {
					if err := do(b, errDown); !errors.Is(err, errDown) {
						t.Fatal(err)
					}
				}
				if err := do(b, nil); !errors.Is(err, breaker.ErrOpen) {
					t.Errorf("the circuit of this process did not open: %v", err)
				}
				time.Sleep(DefaultCooldown)
				if err := do(b, nil); err != nil {
					t.Error(err)
				}
				if s := b.State(); s != breaker.Closed {
					t.Errorf("after a good probe: %v", s)
				}
				if n := strings.Count(log.String(), "store can't be used"); n != 1 {
					t.Errorf("%d warnings:\n%s", n, &log)
				}
			})
		})
	}
}

// hanging is a store that answers nobody in time.
type hanging struct{ Store }

func (hanging) Load(ctx context.Context, _ string) ([]byte, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// unwritable is a store that can only be read.
type unwritable struct{ Store }

func (unwritable) CompareAndSwap(context.Context, string, []byte, []byte, time.Duration) (bool, error) {
	return false, errBroken
}

// A call whose caller gives up while the store is asked is not made, and says
// nothing about the store.
func TestCallerGoneWhileStoreHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		b := New(Config{Name: "b", Store: hanging{new(memory)}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		ctx, cancel := context.WithTimeout(t.Context(), DefaultStoreTimeout/2)
		defer cancel()
		err := b.Do(ctx, func(context.Context) error { t.Error("the call was made"); return nil })
		if !errors.Is(err, context.DeadlineExceeded) || log.Len() > 0 {
			t.Errorf("err = %v, want the caller's deadline; logged %s", err, &log)
		}
	})
}

// A store that failed is left alone for a while: it would cost each call its
// timeout.
func TestStoreIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &counting{Store: broken{}}
		b := New(Config{Name: "b", Store: store})
		for _, step := range []struct {
			wait time.Duration
			want int
		}{{0, 1}, {0, 1}, {away - 1, 1}, {1, 2}, {0, 2}} {
			time.Sleep(step.wait)
			if do(b, nil); store.loads != step.want {
				t.Errorf("%d loads after %v more, want %d", store.loads, step.wait, step.want)
			}
		}
	})
}

// counting counts what is asked.
type counting struct {
	Store
	loads int
}

func (s *counting) Load(ctx context.Context, key string) ([]byte, error) {
	s.loads++
	return s.Store.Load(ctx, key)
}

// Calls that succeed write nothing, as long as there is nothing to forget.
func TestSuccessWritesNothing(t *testing.T) {
	store := &lasting{Store: new(memory), ttl: new(time.Duration)}
	b := New(Config{Name: "b", Store: store})
	for range 3 {
		do(b, nil)
	}
	if b.State(); *store.ttl != 0 {
		t.Errorf("something was stored for %v", *store.ttl)
	}
}

// A server's Retry-After lengthens the cooldown if it is honoured.
func TestHonorRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for honor, want := range map[bool]time.Duration{true: 2 * time.Minute, false: DefaultCooldown} {
			b := New(Config{Name: "b", Store: new(memory), Consecutive: 1, Jitter: NoJitter, HonorRetryAfter: honor})
			do(b, asking(2*time.Minute))
			if after, ok := do(b, nil).(*breaker.OpenError).RetryAfter(); after != want || !ok {
				t.Errorf("honoured %v: refused for %v, want %v", honor, after, want)
			}
		}
	})
}

// asking is the error of a server that says when to come back.
type asking time.Duration

func (asking) Error() string                       { return "unavailable" }
func (a asking) RetryAfter() (time.Duration, bool) { return time.Duration(a), true }

// What somebody else writes between a load and a swap is not lost, and neither is
// what was to be written.
func TestSomebodyElseWasFaster(t *testing.T) {
	store := &overtaken{Store: new(memory)}
	config := Config{Name: "b", Store: store, Consecutive: 2}
	store.other = func() { do(New(Config{Name: "b", Store: store.Store, Consecutive: 2}), errDown) }
	b := New(config)
	do(b, errDown)
	if s := b.State(); s != breaker.Open {
		t.Errorf("after the failures of two: %v, want open", s)
	}
	store.other = func() {
		value, err := store.Load(t.Context(), b.key)
		if swapped, err2 := store.Store.CompareAndSwap(t.Context(), b.key, value, append(value, '\n'), 0); !swapped || err != nil || err2 != nil {
			t.Error(swapped, err, err2)
		}
	}
	if err := Reset(t.Context(), store, "b", ""); err != nil {
		t.Fatal(err)
	}
	if s := b.State(); s != breaker.Closed {
		t.Errorf("after Reset: %v, want closed", s)
	}
}

// overtaken is a store to which another process writes just before a swap, once.
type overtaken struct {
	Store
	other func()
}

func (s *overtaken) CompareAndSwap(ctx context.Context, key string, old, value []byte, ttl time.Duration) (bool, error) {
	if other := s.other; other != nil {
		s.other = nil
		other()
	}
	return s.Store.CompareAndSwap(ctx, key, old, value, ttl)
}

// A probe goes on holding its lease if the store goes away and comes back.
func TestProbeOutlivesStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &flaky{Store: new(memory)}
		config := Config{Name: "b", Store: store, Consecutive: 1, Jitter: NoJitter}
		do(New(config), errDown)
		time.Sleep(DefaultCooldown)
		_ = New(config).Do(t.Context(), func(context.Context) error {
			time.Sleep(DefaultLease/3 + 1) // renewed once
			store.broken.Store(true)
			time.Sleep(DefaultLease / 3) // not renewed
			store.broken.Store(false)
			time.Sleep(away) // renewed again
			if err := do(New(config), nil); !errors.Is(err, breaker.ErrOpen) {
				t.Errorf("another process: %v, want that it is refused", err)
			}
			time.Sleep(2 * DefaultLease)
			if err := do(New(config), nil); !errors.Is(err, breaker.ErrOpen) {
				t.Errorf("another process, later: %v, want that it is refused", err)
			}
			return nil
		})
		if s := New(config).State(); s != breaker.Closed {
			t.Errorf("after the probe: %v", s)
		}
	})
}

func TestOneWarningForAStore(t *testing.T) {
	var log bytes.Buffer
	store := NewFileStore("/dev/null/x")
	for _, key := range []string{"a", "b", "c"} {
		do(New(Config{Name: "b", Key: key, Store: store, Logger: slog.New(slog.NewTextHandler(&log, nil))}), errDown)
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 1 {
		t.Errorf("%d warnings:\n%s", n, &log)
	}
}

// A store that comes back is used again.
func TestStoreComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &flaky{Store: new(memory)}
		store.broken.Store(true)
		b := New(Config{Name: "b", Store: store, Consecutive: 1})
		do(b, errDown)
		if err := do(b, nil); !errors.Is(err, breaker.ErrOpen) {
			t.Errorf("while the store is away: %v", err)
		}
		store.broken.Store(false)
		time.Sleep(away)
		if err := do(b, nil); err != nil {
			t.Errorf("the store says closed: %v", err)
		}
	})
}

// A store that goes away during a call does not lose the call's outcome.
func TestStoreGoesAwayDuringCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &flaky{Store: new(memory)}
		b := New(Config{Name: "b", Store: store, Consecutive: 1, Jitter: NoJitter})
		do(b, errDown) // so that the store's circuit has a history that ours has not
		time.Sleep(DefaultCooldown)
		do(b, nil)
		b.Do(t.Context(), func(context.Context) error {
			store.broken.Store(true)
			return errDown
		})
		if err := do(b, nil); !errors.Is(err, breaker.ErrOpen) {
			t.Errorf("err = %v, want open", err)
		}
	})
}

type flaky struct {
	Store
	broken atomic.Bool
}

func (f *flaky) Load(ctx context.Context, key string) ([]byte, error) {
	if f.broken.Load() {
		return nil, errBroken
	}
	return f.Store.Load(ctx, key)
}

func TestGarbage(t *testing.T) {
	other := openRecord(t0.AddDate(100, 0, 0), nil)
	other.Name = "somebody else"
	otherValue, err := other.encode()
	if err != nil {
		t.Fatal(err)
	}
	other.Name, other.Key = "b", "another key"
	keyValue, err := other.encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{"garbage", "{", "\x00\x00", string(otherValue), string(keyValue), strings.Repeat("x", 2*maxRecord)} {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			store := NewFileStore(t.TempDir())
			config := Config{Name: "b", Store: store, Consecutive: 1, Logger: slog.New(slog.NewTextHandler(&log, nil))}
			if err := os.WriteFile(store.path("b"), []byte(value), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := do(New(config), nil); err != nil {
				t.Errorf("%.20q: %v", value, err)
			}
			if n := strings.Count(log.String(), "garbage"); n == 0 || strings.Count(log.String(), "level=WARN") != 1 {
				t.Errorf("want one warning:\n%.1000s", &log)
			}
			written, err := store.Load(t.Context(), "b")
			if r, err2 := decode(written); err != nil || err2 != nil || r.Name != "b" || !r.Updated.Equal(time.Now()) {
				t.Errorf("garbage was left there: %.100s, %v", written, err)
			}
			log.Reset()
			do(New(config), errDown)
			if err := do(New(config), nil); !errors.Is(err, breaker.ErrOpen) || strings.Contains(log.String(), "garbage") {
				t.Errorf("garbage was not written over: %v", err)
			}
		})
	}
}

func TestEmptyFileIsNoGarbage(t *testing.T) {
	store := NewFileStore(t.TempDir())
	if err := os.WriteFile(store.path("b"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if circuits, err := Status(t.Context(), store); err != nil || len(circuits) != 0 {
		t.Errorf("Status = %+v, %v; want nothing", circuits, err)
	}
	do(New(Config{Name: "b", Store: store, Consecutive: 1}), errDown)
	if err := do(New(Config{Name: "b", Store: store}), nil); !errors.Is(err, breaker.ErrOpen) {
		t.Errorf("err = %v, want open", err)
	}
}

// The bubble's clock says 2000. A record of the year 2026 stands for one that
// was written before the clock was set back.
func TestClockThatWentBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(memory)
		b := New(Config{Name: "b", Store: store, Jitter: NoJitter})
		r := openRecord(t0, &lease{ID: "x", Until: t0})
		r.Name = "b"
		value, err := r.encode()
		if err != nil {
			t.Fatal(err)
		}
		if ok, err := store.CompareAndSwap(t.Context(), b.key, nil, value, 0); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if s := b.State(); s != breaker.Open {
			t.Errorf("state %v, want open", s)
		}
		time.Sleep(DefaultMaxCooldown)
		if err := do(b, nil); err != nil {
			t.Errorf("after the longest cooldown: %v", err)
		}
	})
}

func TestOutcomes(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(b *Breaker)
		want breaker.State
	}{
		{"failure", func(b *Breaker) { do(b, errDown) }, breaker.Open},
		{"panic", func(b *Breaker) {
			defer func() { recover() }()
			b.Do(context.Background(), func(context.Context) error { panic("x") })
		}, breaker.Open},
		{"cancelled by the caller", func(b *Breaker) {
			ctx, cancel := context.WithCancel(context.Background())
			b.Do(ctx, func(context.Context) error { cancel(); return errDown })
		}, breaker.Closed},
		{"refused further in", func(b *Breaker) { do(b, &breaker.OpenError{}) }, breaker.Closed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := New(Config{Name: "b", Store: new(memory), Consecutive: 1})
			tt.do(b)
			if s := b.State(); s != tt.want {
				t.Errorf("state %v, want %v", s, tt.want)
			}
		})
	}
}

// What is ignored neither counts nor ends a row of failures; a success ends it.
func TestOutcomes_Row(t *testing.T) {
	errMine := errors.New("mine")
	for _, tt := range []struct {
		name     string
		classify func(error) breaker.Outcome
		between  func(b *Breaker)
		want     breaker.State
	}{
		{"success", nil, func(b *Breaker) { do(b, nil) }, breaker.Closed},
		{"cancelled by the caller", nil, func(b *Breaker) {
			ctx, cancel := context.WithCancel(context.Background())
			b.Do(ctx, func(context.Context) error { cancel(); return errMine })
		}, breaker.Open},
		{"refused further in", nil, func(b *Breaker) { do(b, &breaker.OpenError{}) }, breaker.Open},
		{"classified as ignored", func(err error) breaker.Outcome { return outcomeOf(err, errMine, breaker.Ignored) }, func(b *Breaker) { do(b, errMine) }, breaker.Open},
		{"classified as success", func(err error) breaker.Outcome { return outcomeOf(err, errMine, breaker.Success) }, func(b *Breaker) { do(b, errMine) }, breaker.Closed},
		{"success, of a caller who is gone", nil, func(b *Breaker) {
			ctx, cancel := context.WithCancel(context.Background())
			b.Do(ctx, func(context.Context) error { cancel(); return nil })
		}, breaker.Closed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := New(Config{Name: "b", Store: new(memory), Consecutive: 2, Classify: tt.classify})
			do(b, errDown)
			tt.between(b)
			do(b, errDown)
			if s := b.State(); s != tt.want {
				t.Errorf("state %v, want %v", s, tt.want)
			}
		})
	}
}

// outcomeOf is o for one error and that of breaker.DefaultClassify for others.
func outcomeOf(err, one error, o breaker.Outcome) breaker.Outcome {
	if errors.Is(err, one) {
		return o
	}
	return breaker.DefaultClassify(err)
}

// What is logged of a circuit: each change of its state, that it opened as a
// warning.
func TestLogger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		b := New(Config{
			Name: "hg", Key: "a", Store: new(memory), Consecutive: 2, Jitter: NoJitter,
			Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey {
					return slog.Attr{}
				}
				return a
			}})),
		})
		for _, step := range []struct {
			wait time.Duration
			err  error
			want string
		}{
			{0, nil, ""},
			{0, errDown, ""},
			{0, errDown, `level=WARN msg="breaker: circuit is open" breaker=hg key=a from=closed to=open reason=consecutive class=_OTHER consecutive=2 cooldown=30s` + "\n"},
			{0, nil, ""},
			{
				DefaultCooldown, errDown,
				`level=INFO msg="breaker: circuit is half-open" breaker=hg key=a from=open to=half-open reason=cooldown` + "\n" +
					`level=WARN msg="breaker: circuit is open" breaker=hg key=a from=half-open to=open reason=probe_failed class=_OTHER consecutive=2 cooldown=1m0s` + "\n",
			},
			{
				2 * DefaultCooldown, nil,
				`level=INFO msg="breaker: circuit is half-open" breaker=hg key=a from=open to=half-open reason=cooldown` + "\n" +
					`level=INFO msg="breaker: circuit is closed" breaker=hg key=a from=half-open to=closed reason=probes_succeeded` + "\n",
			},
		} {
			time.Sleep(step.wait)
			log.Reset()
			do(b, step.err)
			if got := log.String(); got != step.want {
				t.Errorf("logged:\n%swant\n%s", got, step.want)
			}
		}
	})
}

// The zero fields stand for the defaults, and Explain tells of them.
func TestConfig(t *testing.T) {
	store := new(memory)
	b := New(Config{Name: "b", Store: store})
	got := b.Config()
	got.Classify = nil // which is not comparable
	want := Config{
		Name: "b", Store: store, Consecutive: DefaultConsecutive, Window: DefaultWindow, MinCalls: DefaultMinCalls,
		Cooldown: DefaultCooldown, MaxCooldown: DefaultMaxCooldown, Jitter: DefaultJitter, Lease: DefaultLease,
		ProbeTimeout: DefaultProbeTimeout, StoreTimeout: DefaultStoreTimeout,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Config() = %+v, want %+v", got, want)
	}
	if got := b.Name(); got != "b" {
		t.Errorf("Name() = %q, want b", got)
	}
	facts := explain.Facts{
		Kind: explain.Breaker, Name: "b", Consecutive: DefaultConsecutive, Window: DefaultWindow, MinCalls: DefaultMinCalls,
		Cooldown: DefaultCooldown, MaxCooldown: DefaultMaxCooldown, Probes: 1, ProbeTimeout: DefaultProbeTimeout,
	}
	if got := b.Explain(); got != facts {
		t.Errorf("Explain() = %+v, want %+v", got, facts)
	}
	ratio := New(Config{Name: "b", Store: store, FailureRatio: .5, Cooldown: time.Hour, Jitter: NoJitter})
	if c := ratio.Config(); c.Consecutive != 0 || c.MaxCooldown != time.Hour || c.Jitter != 0 {
		t.Errorf("Config() = %+v, want no rule of failures in a row, no jitter and a longest cooldown of 1h", c)
	}
	if got := ratio.Explain().FailureRatio; got != .5 {
		t.Errorf("Explain() has ratio %v, want 0.5", got)
	}
	if got := (*Breaker)(nil).Config(); !reflect.DeepEqual(got, Config{}) {
		t.Errorf("Config() of nil = %+v", got)
	}
}

func TestCallerGoneBeforeTheCall(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := New(Config{Name: "b", Store: new(memory)}).Do(ctx, func(context.Context) error { t.Error("ran"); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
}

func TestStatusAndReset(t *testing.T) {
	ctx := t.Context()
	store := NewFileStore(t.TempDir())
	for _, key := range []string{"z", "a"} {
		do(New(Config{Name: "hg", Key: key, Store: store, Consecutive: 2}), errDown)
	}
	do(New(Config{Name: "hg", Key: "a", Store: store, Consecutive: 2}), errDown)
	circuits, err := Status(ctx, store)
	if err != nil || len(circuits) != 2 {
		t.Fatal(circuits, err)
	}
	a, z := circuits[0], circuits[1]
	if a.Key != "a" || a.State != breaker.Open || a.Failures != 2 || a.Last == nil || a.Reason != breaker.ReasonConsecutive {
		t.Errorf("a is %+v", a)
	}
	if z.Key != "z" || z.State != breaker.Closed || z.Failures != 1 {
		t.Errorf("z is %+v", z)
	}
	if err := os.WriteFile(store.path("x"), []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if circuits, err := Status(ctx, store); err == nil || len(circuits) != 2 {
		t.Errorf("with garbage: %v, %v", circuits, err)
	}
	for range 2 {
		if err := Reset(ctx, store, "hg", "a"); err != nil {
			t.Error(err)
		}
	}
	if err := do(New(Config{Name: "hg", Key: "a", Store: store}), nil); err != nil {
		t.Errorf("after Reset: %v", err)
	}
	if err := New(Config{Name: "b", Store: broken{}}).Reset(ctx); !errors.Is(err, errBroken) {
		t.Errorf("Reset of a broken store: %v", err)
	}
	if _, err := Status(ctx, broken{}); !errors.Is(err, errBroken) {
		t.Errorf("Status of a broken store: %v", err)
	}
}

func TestCheck(t *testing.T) {
	store := new(memory)
	for _, tt := range []struct {
		config Config
		want   string
	}{
		{Config{Store: store}, "breaker/shared: Name is empty, must name the breaker"},
		{Config{Name: "b"}, "breaker/shared: b: Store is nil, must be a store, such as NewFileStore"},
		{Config{Name: "b", Store: store, Consecutive: -1}, "breaker/shared: b: Consecutive is -1, must be from 0 to 100"},
		{Config{Name: "b", Store: store, Consecutive: 101}, "breaker/shared: b: Consecutive is 101, must be from 0 to 100"},
		{Config{Name: strings.Repeat("n", maxName+1), Store: store}, "breaker/shared: Name is 1025 bytes long, must be at most 1024"},
		{Config{Name: "b", Key: strings.Repeat("k", maxName+1), Store: store}, "breaker/shared: b: Key is 1025 bytes long, must be at most 1024"},
		{Config{Name: "b", Store: store, MinCalls: -1}, "breaker/shared: b: MinCalls is -1, must be from 1 to 100"},
		{Config{Name: "b", Store: store, MinCalls: 101}, "breaker/shared: b: MinCalls is 101, must be from 1 to 100"},
		{Config{Name: "b", Store: store, Cooldown: -1}, "breaker/shared: b: Cooldown is -1ns, must be positive"},
		{Config{Name: "b", Store: store, FailureRatio: -0.5}, "breaker/shared: b: FailureRatio is -0.5, must be from 0 to 1"},
		{Config{Name: "b", Store: store, Jitter: 1.5}, "breaker/shared: b: Jitter is 1.5, must be NoJitter or from 0 to 1"},
		{Config{Name: "b", Store: store, Window: -1}, "breaker/shared: b: Window is -1ns, must be positive"},
		{Config{Name: "b", Store: store, FailureRatio: 2}, "breaker/shared: b: FailureRatio is 2, must be from 0 to 1"},
		{Config{Name: "b", Store: store, MinCalls: 500}, "breaker/shared: b: MinCalls is 500, must be from 1 to 100"},
		{Config{Name: "b", Store: store, Cooldown: time.Hour, MaxCooldown: time.Minute}, "breaker/shared: b: MaxCooldown is 1m0s, must be at least Cooldown, 1h0m0s"},
		{Config{Name: "b", Store: store, Jitter: 3}, "breaker/shared: b: Jitter is 3, must be NoJitter or from 0 to 1"},
		{Config{Name: "b", Store: store, Lease: -1}, "breaker/shared: b: Lease is -1ns, must be positive"},
		{Config{Name: "b", Store: store, ProbeTimeout: -1}, "breaker/shared: b: ProbeTimeout is -1ns, must be positive"},
		{Config{Name: "b", Store: store, StoreTimeout: -1}, "breaker/shared: b: StoreTimeout is -1ns, must be positive"},
	} {
		b := New(tt.config)
		if err := b.Check(); err == nil || err.Error() != tt.want {
			t.Errorf("Check() = %v, want %s", err, tt.want)
		}
		if err := do(b, nil); err == nil || err.Error() != tt.want {
			t.Errorf("Do() = %v, want %s", err, tt.want)
		}
		if s := b.State(); s != breaker.Closed {
			t.Errorf("State() = %v", s)
		}
	}
	for _, b := range []*Breaker{nil, {}} {
		if err := do(b, nil); !errors.Is(err, errZero) {
			t.Errorf("a breaker that New did not make: %v", err)
		}
	}
	most := Config{
		Name: strings.Repeat("n", maxName), Key: strings.Repeat("k", maxName), Store: store,
		Consecutive: maxOutcomes, MinCalls: maxOutcomes, FailureRatio: 1, Jitter: 1, MaxCooldown: DefaultCooldown,
	}
	least := Config{Name: "b", Store: store, Consecutive: 1, MinCalls: 1, Window: 1, Cooldown: 1, Lease: 1, ProbeTimeout: 1, StoreTimeout: 1}
	for _, config := range []Config{most, least} {
		if err := New(config).Check(); err != nil {
			t.Errorf("Check() = %v, want nil", err)
		}
	}
}

// What is too old counts for nobody, and garbage is told of.
func TestBreaker_Status(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := NewFileStore(t.TempDir())
		b := New(Config{Name: "b", Store: store})
		do(b, errDown)
		time.Sleep(DefaultWindow + 1)
		if c, err := b.Status(t.Context()); err != nil || c.Failures != 0 {
			t.Errorf("after the window: %+v, %v; want no failures", c, err)
		}
		if err := os.WriteFile(store.path("b"), []byte("garbage"), 0o600); err != nil {
			t.Fatal(err)
		}
		if c, err := b.Status(t.Context()); !errors.Is(err, errGarbage) || c.State != breaker.Closed {
			t.Errorf("with garbage: %+v, %v; want closed and an error", c, err)
		}
	})
}

// What is read of a record by Status, Latest and Breaker.Status is all of it.
func TestCircuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Config{Name: "hg", Key: "a", Store: NewFileStore(t.TempDir()), Consecutive: 2, FailureRatio: 1, MinCalls: 50, Jitter: NoJitter})
		both := func(step string) Circuit {
			stored, err := b.Status(t.Context())
			if seen := b.Latest(); err != nil || !reflect.DeepEqual(plain(seen), plain(stored)) {
				t.Errorf("%s: Status() = %+v, %v; Latest() = %+v", step, stored, err, seen)
			}
			return stored
		}
		if got, want := both("new"), (Circuit{Name: "hg", Key: "a"}); !reflect.DeepEqual(got, want) {
			t.Errorf("new: %+v, want %+v", got, want)
		}
		do(b, nil)
		do(b, errDown)
		if got := both("one failure"); got.State != breaker.Closed || got.Failures != 1 || got.Counts != (breaker.Counts{Successes: 1, Failures: 1, Consecutive: 1}) {
			t.Errorf("after a failure: %+v", got)
		}
		do(b, errDown)
		opened := time.Now()
		got := both("open")
		if got.State != breaker.Open || got.Generation != 1 || got.Failures != 2 || got.Counts != (breaker.Counts{Successes: 1, Failures: 2, Consecutive: 2}) ||
			!got.Opened.Equal(opened) || !got.Until.Equal(opened.Add(DefaultCooldown)) || got.FailedProbes != 0 || got.Prober != nil {
			t.Errorf("open: %+v", got)
		}
		if f := got.Last; f == nil || f.Class == "" || f.ErrorType() != f.Class || !f.At.Equal(opened) || f.Host != b.self.Host || f.PID != b.self.PID {
			t.Errorf("last failure %+v", f)
		}
		time.Sleep(DefaultCooldown)
		_ = b.Do(t.Context(), func(context.Context) error {
			now := time.Now()
			got := both("half-open")
			if p := got.Prober; got.State != breaker.HalfOpen || p == nil || p.Host != b.self.Host || p.PID != b.self.PID || !p.Since.Equal(now) || !p.Until.Equal(now.Add(DefaultLease)) {
				t.Errorf("probing: %+v, %+v", got, got.Prober)
			}
			return errDown
		})
		if got := both("open again"); got.FailedProbes != 1 || got.Reason != breaker.ReasonProbeFailed || got.Generation != 2 {
			t.Errorf("after the probe failed: %+v", got)
		}
		if err := b.Reset(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, want := both("reset"), (Circuit{Name: "hg", Key: "a"}); !reflect.DeepEqual(got, want) {
			t.Errorf("reset: %+v, want %+v", got, want)
		}
	})
}

// plain returns c such that equal times are equal values.
func plain(c Circuit) Circuit {
	for _, at := range []*time.Time{&c.Opened, &c.Until} {
		*at = at.Round(0).UTC()
	}
	if c.Last != nil {
		last := *c.Last
		last.At = last.At.Round(0).UTC()
		c.Last = &last
	}
	if c.Prober != nil {
		prober := *c.Prober
		prober.Since, prober.Until = prober.Since.Round(0).UTC(), prober.Until.Round(0).UTC()
		c.Prober = &prober
	}
	return c
}

// A record outlives all that it can mean.
func TestLifetime(t *testing.T) {
	var got time.Duration
	store := &lasting{Store: new(memory), ttl: &got}
	c := Config{Name: "b", Store: store, Window: time.Minute, MaxCooldown: time.Hour, Lease: time.Second}
	do(New(c), errDown)
	if least := c.Window + c.MaxCooldown + c.Lease + skew; got != 2*least {
		t.Errorf("stored for %v, want twice %v", got, least)
	}
}

// lasting notes for how long something is stored.
type lasting struct {
	Store
	ttl *time.Duration
}

func (s *lasting) CompareAndSwap(ctx context.Context, key string, old, value []byte, ttl time.Duration) (bool, error) {
	*s.ttl = ttl
	return s.Store.CompareAndSwap(ctx, key, old, value, ttl)
}

// A misconfigured breaker has nothing to tell, and does not touch its store.
func TestStatus_Misuse(t *testing.T) {
	b := New(Config{Name: "b", Store: broken{}, Window: -1})
	if _, err := b.Status(t.Context()); err == nil || err != b.Check() {
		t.Errorf("Status() = %v, want what Check says", err)
	}
	if err := b.Reset(t.Context()); err == nil || err != b.Check() {
		t.Errorf("Reset() = %v, want what Check says", err)
	}
	for _, b := range []*Breaker{nil, {}, b} {
		if got := b.Latest(); !reflect.DeepEqual(got, Circuit{}) {
			t.Errorf("Latest() = %+v, want nothing", got)
		}
	}
	if _, err := New(Config{Name: "b", Store: broken{}}).Status(t.Context()); !errors.Is(err, errBroken) {
		t.Errorf("Status() of a broken store = %v", err)
	}
}

// A nil breaker is a mistake that Check reports. It used to crash redoubt.Check
// itself, which asks for more than that.
func TestNilTellsOfItself(t *testing.T) {
	var b *Breaker
	if got := b.Explain(); got.Kind != explain.Breaker {
		t.Errorf("Explain() = %+v, want a breaker", got)
	}
	if got := b.Name(); got != "" {
		t.Errorf("Name() = %q, want none", got)
	}
}

// TestModel plays random calls through breakers that share a store and through
// a model that is a few lines of arithmetic, and compares what is refused.
func TestModel(t *testing.T) {
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			config := Config{
				Name: "b", Store: new(memory), Jitter: NoJitter, Consecutive: 1 + random.IntN(4),
				Window: time.Minute, Cooldown: 10 * time.Second, MaxCooldown: 35 * time.Second,
			}
			processes := make([]*Breaker, 3)
			for i := range processes {
				processes[i] = New(config)
			}
			var m model
			for step := range 300 {
				time.Sleep(time.Duration(random.IntN(12)) * time.Second)
				fails := random.IntN(3) > 0
				var result error
				if fails {
					result = errDown
				}
				err := do(processes[random.IntN(len(processes))], result)
				refused := errors.Is(err, breaker.ErrOpen)
				if want := m.call(config, time.Now(), fails); refused != want {
					t.Fatalf("seed %d, step %d: refused %v, want %v; model %+v", seed, step, refused, want, m)
				}
			}
		})
	}
}

type model struct {
	failures []time.Time
	open     bool
	until    time.Time
	times    int
}

// call reports whether the call is refused.
func (m *model) call(c Config, now time.Time, fails bool) bool {
	switch {
	case m.open && now.Before(m.until):
		return true
	case m.open && fails:
		m.times++
		m.until = now.Add(min(c.Cooldown<<min(m.times, 8), c.MaxCooldown))
	case m.open:
		*m = model{}
	case !fails:
		m.failures = nil
	default:
		m.failures = append(m.failures, now)
		for now.Sub(m.failures[0]) > c.Window {
			m.failures = m.failures[1:]
		}
		if len(m.failures) >= c.Consecutive {
			*m = model{open: true, until: now.Add(c.Cooldown)}
		}
	}
	return false
}
