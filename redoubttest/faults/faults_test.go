package faults_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt/limit"
	"github.com/redoubt-go/redoubt/redoubttest/faults"
)

func newInjector(t *testing.T, plan faults.Plan) *faults.Injector {
	t.Helper()
	inj, err := faults.New(plan)
	if err != nil {
		t.Fatal(err)
	}
	return inj
}

// get makes a GET and reads the whole body, whose size it returns.
func get(ctx context.Context, rt http.RoundTripper, id string) (status, size int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://dependency/", nil)
	if err != nil {
		return 0, 0, err
	}
	if id != "" {
		req.Header.Set(faults.RequestIDHeader, id)
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, len(body), err
}

func one(effect faults.Effect) []faults.Fault { return []faults.Fault{{Effect: effect}} }

func TestEffects(t *testing.T) {
	tests := []struct {
		name   string
		plan   faults.Plan
		status int
		size   int
		err    error
		took   time.Duration
	}{
		{name: "none", plan: faults.Plan{Service: faults.Service{Body: 10}}, status: 200, size: 10},
		{
			name:   "service",
			plan:   faults.Plan{Service: faults.Service{Time: faults.Constant(5 * time.Millisecond)}},
			status: 200, took: 5 * time.Millisecond,
		},
		{name: "status", plan: faults.Plan{Faults: one(faults.Status{Code: 502})}, status: 502},
		{name: "status zero", plan: faults.Plan{Faults: one(faults.Status{})}, status: 503},
		{name: "reset", plan: faults.Plan{Faults: one(faults.Reset{})}, err: syscall.ECONNRESET},
		{
			name: "lost",
			plan: faults.Plan{
				Service: faults.Service{Time: faults.Constant(time.Second)},
				Faults:  one(faults.Reset{AfterWork: true}),
			},
			err: syscall.ECONNRESET, took: time.Second,
		},
		{name: "refuse", plan: faults.Plan{Faults: one(faults.Refuse{})}, err: syscall.ECONNREFUSED},
		{name: "black hole", plan: faults.Plan{Faults: one(faults.BlackHole{})}, err: context.DeadlineExceeded, took: time.Minute},
		{
			name: "delay", plan: faults.Plan{Faults: one(faults.Delay{Time: faults.Constant(time.Second)})},
			status: 200, took: time.Second,
		},
		{
			name: "freeze",
			plan: faults.Plan{
				Service: faults.Service{Time: faults.Constant(time.Second)},
				Faults: []faults.Fault{{
					During: faults.Window{From: 500 * time.Millisecond, To: 3 * time.Second},
					Effect: faults.Freeze{},
				}},
			},
			status: 200, took: 3 * time.Second,
		},
		{
			name: "cut",
			plan: faults.Plan{
				Service: faults.Service{Time: faults.Constant(time.Second)},
				Faults:  []faults.Fault{{During: faults.Window{From: 500 * time.Millisecond}, Effect: faults.Refuse{}}},
			},
			err: syscall.ECONNRESET, took: 500 * time.Millisecond,
		},
		{
			name: "truncate",
			plan: faults.Plan{
				Service: faults.Service{Body: 2000},
				Faults:  one(faults.Truncate{After: 700}),
			},
			status: 200, size: 700, err: io.ErrUnexpectedEOF,
		},
		{
			name:   "truncate after the end",
			plan:   faults.Plan{Service: faults.Service{Body: 20}, Faults: one(faults.Truncate{After: 700})},
			status: 200, size: 20,
		},
		{
			name:   "drip",
			plan:   faults.Plan{Service: faults.Service{Body: 2001}, Faults: one(faults.Drip{Over: 5 * time.Second})},
			status: 200, size: 2001, took: 5 * time.Second,
		},
		{
			name: "bandwidth",
			plan: faults.Plan{
				Service: faults.Service{Body: 100_000},
				Faults:  one(faults.Bandwidth{BytesPerSecond: 50_000}),
			},
			status: 200, size: 100_000, took: 2 * time.Second,
		},
		{
			name: "full",
			plan: faults.Plan{Service: faults.Service{
				Time: faults.Constant(time.Second), Slots: 1, Queue: faults.NoQueue,
				Full: faults.Status{Code: 429},
			}},
			status: 200, took: time.Second,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inj := newInjector(t, tt.plan)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				start := time.Now()
				status, size, err := get(ctx, inj.RoundTripper(nil), "")
				took := time.Since(start)
				if status != tt.status || size != tt.size || !errors.Is(err, tt.err) {
					t.Errorf("got %d, %d bytes, %v; want %d, %d bytes, %v", status, size, err, tt.status, tt.size, tt.err)
				}
				if took < tt.took || took > tt.took+time.Microsecond {
					t.Errorf("took %v, want %v", took, tt.took)
				}
			})
		})
	}
}

func TestNoHost(t *testing.T) {
	inj := newInjector(t, faults.Plan{Faults: one(faults.NoHost{})})
	_, _, err := get(t.Context(), inj.RoundTripper(nil), "")
	if dns, ok := errors.AsType[*net.DNSError](err); !ok || dns.Name != "dependency" || !dns.IsNotFound {
		t.Errorf("err = %v, want a DNSError for dependency", err)
	}
	if c := inj.Counts(); c.Arrivals != 0 || c.Refused != 1 {
		t.Errorf("counts = %+v, want no arrival and one refusal", c)
	}
}

// Every draw is for a unit: retries of one request id share their fate with
// PerRequest, and no two arrivals do with PerArrival.
func TestUnits(t *testing.T) {
	const requests, attempts = 1000, 5
	failed := func(t *testing.T, per faults.Unit) (arrivals, mixed int) {
		t.Helper()
		inj := newInjector(t, faults.Plan{
			Seed:   7,
			Faults: []faults.Fault{{Chance: 0.3, Per: per, Effect: faults.Status{}}},
		})
		for r := range requests {
			bad := 0
			for range attempts {
				status, _, err := get(t.Context(), inj.RoundTripper(nil), "r"+strings.Repeat("x", r))
				if err != nil {
					t.Fatal(err)
				}
				if status == 503 {
					bad++
				}
			}
			arrivals += bad
			if bad > 0 && bad < attempts {
				mixed++
			}
		}
		return arrivals, mixed
	}
	for _, per := range []faults.Unit{faults.PerArrival, faults.PerRequest} {
		n, mixed := failed(t, per)
		if share := float64(n) / (requests * attempts); share < 0.26 || share > 0.34 {
			t.Errorf("%s: %.3f failed, want about 0.3", per, share)
		}
		if (mixed == 0) != (per == faults.PerRequest) {
			t.Errorf("%s: %d requests had attempts of both kinds", per, mixed)
		}
	}
	// All requests of one opening of the window share their fate.
	synctest.Test(t, func(t *testing.T) {
		inj := newInjector(t, faults.Plan{Seed: 1, Faults: []faults.Fault{{
			During: faults.Window{Every: time.Second, For: time.Second}, Chance: 0.5,
			Per: faults.PerWindow, Effect: faults.Status{},
		}}})
		bad := 0
		for range 100 {
			first, _, _ := get(t.Context(), inj.RoundTripper(nil), "")
			for range 5 {
				if again, _, _ := get(t.Context(), inj.RoundTripper(nil), ""); again != first {
					t.Fatalf("%d and %d in one window", first, again)
				}
			}
			if first == 503 {
				bad++
			}
			time.Sleep(time.Second)
		}
		if bad < 35 || bad > 65 {
			t.Errorf("%d of 100 windows failed, want about half", bad)
		}
	})
}

func TestReplicas(t *testing.T) {
	inj := newInjector(t, faults.Plan{
		Replicas: 4,
		Faults:   []faults.Fault{{Replicas: []int{3}, Effect: faults.Reset{}}},
	})
	for n := range 100 {
		if _, _, err := get(t.Context(), inj.RoundTripper(nil), ""); (err != nil) != (n%4 == 3) {
			t.Fatalf("arrival %d: err = %v", n, err)
		}
	}
}

func TestRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inj := newInjector(t, faults.Plan{Faults: one(faults.RateLimit{PerSecond: 100, Burst: 10, RetryAfter: time.Second})})
		granted := 0
		for range 1000 { // 200 a second
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://dependency/", nil)
			resp, err := inj.RoundTripper(nil).RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			switch resp.StatusCode {
			case http.StatusOK:
				granted++
			case http.StatusTooManyRequests:
				if after := resp.Header.Get("Retry-After"); after != "1" {
					t.Fatalf("Retry-After = %q", after)
				}
			}
			time.Sleep(5 * time.Millisecond)
		}
		if granted < 508 || granted > 511 {
			t.Errorf("granted %d of 1000 in 5s, want about 510", granted)
		}
	})
}

// The heart of a metastable failure: work is costed when it starts, and is done
// for callers that have left.
func TestOverload(t *testing.T) {
	for _, skips := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			inj := newInjector(t, faults.Plan{
				Service: faults.Service{
					Time: faults.Constant(7 * time.Millisecond), Slots: 2,
					SkipsAbandoned: skips,
				},
				Faults: []faults.Fault{{
					During: faults.Window{From: time.Second, To: 2 * time.Second},
					Effect: faults.Work{Time: faults.Constant(70 * time.Millisecond)},
				}},
			})
			rt := inj.RoundTripper(nil)
			var answered, failed atomic.Int64
			var callers sync.WaitGroup
			for range 2000 { // 200 a second for 10 seconds
				callers.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
					defer cancel()
					if _, _, err := get(ctx, rt, ""); err != nil {
						failed.Add(1)
					} else {
						answered.Add(1)
					}
				})
				time.Sleep(5*time.Millisecond + time.Microsecond)
			}
			callers.Wait()
			for inj.Counts().Working > 0 {
				time.Sleep(time.Second)
			}
			c := inj.Counts()
			if c.Arrivals != 2000 || answered.Load()+failed.Load() != 2000 {
				t.Errorf("counts = %+v", c)
			}
			if skips {
				if c.Abandoned > 20 || c.Worked == c.Arrivals {
					t.Errorf("counts = %+v, want next to no work for nobody", c)
				}
				return
			}
			// Some 170 calls pile up, and are worked off at 85 a second,
			// late for most of the callers until the queue is short.
			if c.Worked != c.Arrivals || c.Abandoned < 150 || c.Abandoned > c.Worked/2 {
				t.Errorf("counts = %+v, want all work done, much of it for nobody", c)
			}
			start := time.Now()
			if _, _, err := get(t.Context(), rt, ""); err != nil || time.Since(start) != 7*time.Millisecond {
				t.Errorf("afterwards: %v in %v", err, time.Since(start))
			}
		})
	}
}

func TestQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inj := newInjector(t, faults.Plan{Service: faults.Service{
			Time: faults.Constant(time.Second), Slots: 1, Queue: 2, Full: faults.Status{Code: 529},
		}})
		var answers [5]struct {
			status int
			at     time.Duration
		}
		start := time.Now()
		var callers sync.WaitGroup
		for n := range answers {
			callers.Go(func() {
				answers[n].status, _, _ = get(t.Context(), inj.RoundTripper(nil), "")
				answers[n].at = time.Since(start)
			})
			synctest.Wait()
		}
		if c := inj.Counts(); c.Working != 1 || c.Waiting != 2 || c.Rejected != 2 {
			t.Errorf("counts = %+v", c)
		}
		callers.Wait()
		for n, want := range []int{1, 2, 3, 0, 0} {
			if got := answers[n]; got.at != time.Duration(want)*time.Second || (got.status == 529) != (want == 0) {
				t.Errorf("caller %d: %+v, want at %ds", n, got, want)
			}
		}
	})
}

func TestDuplicates(t *testing.T) {
	post := func(t *testing.T, rt http.RoundTripper, id, key string) {
		t.Helper()
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://dependency/", strings.NewReader("12.50"))
		req.Header.Set(faults.RequestIDHeader, id)
		if key != "" {
			req.Header.Set("Idempotency-Key", key)
		}
		if resp, err := rt.RoundTrip(req); err == nil {
			resp.Body.Close()
		}
	}
	inj := newInjector(t, faults.Plan{Faults: one(faults.Reset{AfterWork: true})})
	rt := inj.RoundTripper(nil)
	post(t, rt, "a", "")
	post(t, rt, "a", "") // a duplicate
	post(t, rt, "b", "k")
	post(t, rt, "b", "k") // known
	if _, _, err := get(t.Context(), rt, "a"); err == nil {
		t.Error("get succeeded")
	}
	if c := inj.Counts(); c.Effects != 3 || c.Duplicates != 1 {
		t.Errorf("counts = %+v, want 3 effects, 1 of them a duplicate", c)
	}
}

// TestStatusError holds what layers ask a status.
func TestStatusError(t *testing.T) {
	for code, want := range map[int][3]bool{ // retryable, throttled, the dependency's failure
		400: {false, false, false},
		408: {true, false, false},
		429: {true, true, false},
		500: {true, false, true},
		503: {true, true, true},
	} {
		err := &faults.StatusError{Code: code}
		if got := [3]bool{err.Retryable(), err.Throttled(), err.DependencyFailure()}; got != want {
			t.Errorf("%v: retryable, throttled, failure: %v, want %v", err, got, want)
		}
	}
	if got, want := limit.DefaultClassify(&faults.StatusError{Code: 429}), limit.Dropped; got != want {
		t.Errorf("limit takes a 429 as %v, want %v", got, want)
	}
}

func TestFunc(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inj := newInjector(t, faults.Plan{Faults: []faults.Fault{
			{During: faults.Window{To: time.Second}, Effect: faults.Status{Code: 503, RetryAfter: 2 * time.Second}},
			{During: faults.Window{From: time.Second, To: 2 * time.Second}, Effect: faults.Truncate{}},
			{During: faults.Window{From: 2 * time.Second, To: 3 * time.Second}, Effect: faults.BlackHole{}},
		}})
		runs := 0
		call := inj.Func(func(context.Context) error { runs++; return nil })

		err := call(t.Context())
		status, ok := errors.AsType[*faults.StatusError](err)
		if !ok || status.Code != 503 || runs != 0 {
			t.Fatalf("err = %v after %d runs, want a 503 without any", err, runs)
		}
		if after, ok := status.RetryAfter(); !ok || after != 2*time.Second || !status.Retryable() {
			t.Errorf("RetryAfter = %v, %v", after, ok)
		}
		time.Sleep(time.Second)
		if err := call(t.Context()); !errors.Is(err, io.ErrUnexpectedEOF) || runs != 1 {
			t.Errorf("err = %v after %d runs, want a truncated one", err, runs)
		}
		time.Sleep(time.Second)
		mine := errors.New("mine")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, mine)
		defer cancel()
		if err := call(ctx); !errors.Is(err, mine) {
			t.Errorf("err = %v, want the caller's cause", err)
		}
		if err := call(t.Context()); err != nil || runs != 2 {
			t.Errorf("err = %v after %d runs, want success", err, runs)
		}
	})
}

// The same seed makes the same faults, another seed makes others.
func TestSeed(t *testing.T) {
	run := func(seed uint64) string {
		inj := newInjector(t, faults.Plan{Seed: seed, Faults: []faults.Fault{{Chance: 0.5, Effect: faults.Status{}}}})
		var b strings.Builder
		for range 100 {
			status, _, _ := get(t.Context(), inj.RoundTripper(nil), "")
			b.WriteByte(byte(status / 100 * 7))
		}
		return b.String()
	}
	first := run(1)
	if run(1) != first {
		t.Error("one seed made two different runs")
	}
	if run(2) == first {
		t.Error("two seeds made the same run")
	}
}

func TestObserve(t *testing.T) {
	var kinds []string
	inj := newInjector(t, faults.Plan{
		Faults:  []faults.Fault{{Name: "night", Chance: 1, Effect: faults.Delay{Time: faults.Constant(0)}}},
		Observe: func(e faults.Event) { kinds = append(kinds, string(e.Kind)+" "+e.Fault) },
	})
	if _, _, err := get(t.Context(), inj.RoundTripper(nil), ""); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(kinds, ", "); got != "arrived , struck night, worked " {
		t.Errorf("events: %s", got)
	}
}

func TestCheck(t *testing.T) {
	tests := []struct {
		plan faults.Plan
		want string
	}{
		{faults.Plan{Replicas: -1}, "faults: Replicas is -1, must be zero or positive"},
		{faults.Plan{Service: faults.Service{Queue: 1}}, "faults: Service.Queue is 1, must be zero unless Slots is given"},
		{faults.Plan{Faults: []faults.Fault{{}}}, "faults: Faults[0].Effect is nil, must be an effect"},
		{faults.Plan{Faults: []faults.Fault{{Chance: 2, Effect: faults.Reset{}}}}, "faults: Faults[0].Chance is 2, must be from 0 to 1"},
		{
			faults.Plan{Faults: []faults.Fault{{During: faults.Window{From: 2, To: 1}, Effect: faults.Reset{}}}},
			"faults: Faults[0].During.To is 1ns, must be zero or after From, 2ns",
		},
		{faults.Plan{Faults: []faults.Fault{{Replicas: []int{1}, Effect: faults.Reset{}}}}, "faults: Faults[0].Replicas is 1, must be from 0 to 0"},
		{faults.Plan{Faults: one(faults.Status{Code: 42})}, "faults: Faults[0].Effect.Code is 42, must be from 200 to 599"},
		{faults.Plan{Faults: one(faults.Delay{})}, "faults: Faults[0].Effect.Time is nil, must be a Latency"},
		{confined(faults.Refuse{}, ""), "faults: Faults[0].Replicas is [3], must be empty for refuse"},
		{confined(faults.NoHost{}, ""), "faults: Faults[0].Replicas is [3], must be empty for no host"},
		{confined(faults.SYNLoss{}, ""), "faults: Faults[0].Replicas is [3], must be empty for syn loss"},
		{confined(faults.PacketLoss{}, ""), "faults: Faults[0].Replicas is [3], must be empty for packet loss"},
		{confined(faults.Bandwidth{BytesPerSecond: 1}, ""), "faults: Faults[0].Replicas is [3], must be empty for bandwidth"},
		{confined(faults.NoHost{}, faults.PerRequest), "faults: Faults[0].Replicas is [3], must be empty for no host\n" +
			`faults: Faults[0].Per is "request", must be arrival, connection or window for no host`},
		{
			faults.Plan{Faults: []faults.Fault{{Per: faults.PerRequest, Effect: faults.SYNLoss{}}}},
			`faults: Faults[0].Per is "request", must be arrival, connection or window for syn loss`,
		},
	}
	for _, tt := range tests {
		if _, err := faults.New(tt.plan); err == nil || err.Error() != tt.want {
			t.Errorf("New: %v\nwant %s", err, tt.want)
		}
	}
}

// confined returns a plan of a fault of one replica in four.
func confined(effect faults.Effect, per faults.Unit) faults.Plan {
	return faults.Plan{Replicas: 4, Faults: []faults.Fault{{Replicas: []int{3}, Per: per, Effect: effect}}}
}

// What is of arrivals can be confined, and what packets of one request share.
func TestCheck_Confined(t *testing.T) {
	for _, e := range []faults.Effect{faults.Status{}, faults.Reset{}, faults.BlackHole{}, faults.Freeze{}, faults.Hangup{}} {
		if err := confined(e, faults.PerRequest).Check(); err != nil {
			t.Errorf("%T: %v", e, err)
		}
	}
	plan := faults.Plan{Faults: []faults.Fault{{Per: faults.PerRequest, Effect: faults.PacketLoss{}}}}
	if err := plan.Check(); err != nil {
		t.Error(err)
	}
}

func TestWindow(t *testing.T) {
	odd := faults.Window{From: 5 * time.Second, To: 16 * time.Second, Every: 2 * time.Second, For: time.Second}
	for tenth := range 200 {
		at := time.Duration(tenth) * 100 * time.Millisecond
		second := int(at / time.Second)
		want := second >= 5 && second < 16 && second%2 == 1
		if got := odd.Contains(at); got != want {
			t.Errorf("Contains(%v) = %v", at, got)
		}
	}
}

func TestLatencies(t *testing.T) {
	mean := func(l faults.Latency) time.Duration {
		var sum time.Duration
		for n := range uint64(20_000) {
			sum += l(faults.Draw(1, n), 0)
		}
		return sum / 20_000
	}
	for name, tt := range map[string]struct {
		latency faults.Latency
		want    time.Duration
	}{
		"constant":    {faults.Constant(time.Second), time.Second},
		"uniform":     {faults.Uniform(time.Second, 3*time.Second), 2 * time.Second},
		"exponential": {faults.Exponential(time.Second), time.Second},
		"log-normal":  {faults.LogNormal(time.Second, 0.5), 1133 * time.Millisecond}, // exp(0.125)
	} {
		if got := mean(tt.latency); got < tt.want*97/100 || got > tt.want*103/100 {
			t.Errorf("%s: mean %v, want %v", name, got, tt.want)
		}
	}
	ramp := faults.Ramp(205*time.Millisecond, 5*time.Millisecond)
	if got := ramp(0, 0.5); got != 105*time.Millisecond {
		t.Errorf("ramp, half way: %v", got)
	}
}
