package scorecard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/failsafehttp"
	failsafetimeout "github.com/failsafe-go/failsafe-go/timeout"
	"github.com/hashicorp/go-retryablehttp"
	"github.com/sony/gobreaker/v2"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/redoubttest/faults"
	"github.com/redoubt-go/redoubt/retry"
)

// What all clients are told: as many attempts, the same wait, the same limit of
// an attempt, and the same rule of the breaker, if they have one.
const (
	tries     = 3
	pause     = 50 * time.Millisecond
	tryLimit  = time.Second
	callLimit = 2 * time.Second // of the caller, who leaves then
	ruleSpan  = 10 * time.Second
	ruleCalls = 20
	cooldown  = 5 * time.Second
)

var errStatus = errors.New("status 503")

// rivalClients are ours and those that people use instead, first ours.
var rivalClients = []struct {
	name string
	new  func(base http.RoundTripper) http.RoundTripper
}{
	{"Redoubt", ours},
	{"bare http.Client", func(base http.RoundTripper) http.RoundTripper { return base }},
	{"go-retryablehttp", retryable},
	{"failsafehttp: retry, breaker, timeout", failsafe},
	{"backoff and gobreaker by hand", byHand},
	{"Redoubt, budget of 30 %", with(func(c *redoubt.ClientConfig) { c.Budget.Ratio = .3 })},
	{"Redoubt, cooldown of 1 s", with(func(c *redoubt.ClientConfig) { c.Breaker.Cooldown, c.Breaker.MaxCooldown = time.Second, time.Second })},
}

// The rivals among rivalClients, which are neither ours nor bare.
const othersFrom, othersTo = 2, 5

func ours(base http.RoundTripper) http.RoundTripper { return with(nil)(base) }

// with returns ours with a change.
func with(change redoubt.Option) func(base http.RoundTripper) http.RoundTripper {
	return func(base http.RoundTripper) http.RoundTripper { return assemble(base, change) }
}

func assemble(base http.RoundTripper, change redoubt.Option) http.RoundTripper {
	return redoubt.NewClient("rivals", func(c *redoubt.ClientConfig) {
		c.Retry.MaxAttempts = tries
		c.Retry.Backoff = retry.Constant(pause)
		c.Breaker.Window, c.Breaker.MinCalls, c.Breaker.Cooldown = ruleSpan, ruleCalls, cooldown
		c.Breaker.MaxCooldown, c.Breaker.Jitter = cooldown, breaker.NoJitter
		c.Transport.HeaderTimeout = tryLimit
		c.Transport.Base = base
	}, change).Transport
}

func retryable(base http.RoundTripper) http.RoundTripper {
	c := retryablehttp.NewClient()
	c.HTTPClient = &http.Client{Transport: base, Timeout: tryLimit}
	c.RetryMax = tries - 1
	c.RetryWaitMin, c.RetryWaitMax = pause, pause
	c.ErrorHandler = retryablehttp.PassthroughErrorHandler
	c.Logger = nil
	return c.StandardClient().Transport
}

func failsafe(base http.RoundTripper) http.RoundTripper {
	return failsafehttp.NewRoundTripper(base,
		failsafehttp.NewRetryPolicyBuilder().
			WithMaxAttempts(tries).WithDelay(pause).ReturnLastFailure().
			AbortOnErrors(circuitbreaker.ErrOpen).Build(),
		circuitbreaker.NewBuilder[*http.Response]().
			HandleIf(func(resp *http.Response, err error) bool {
				return err != nil && !errors.Is(err, context.Canceled) || resp != nil && resp.StatusCode >= 500
			}).
			WithFailureRateThreshold(.5, ruleCalls, ruleSpan).WithDelay(cooldown).Build(),
		failsafetimeout.New[*http.Response](tryLimit))
}

// handmade is what a careful programmer writes with backoff and gobreaker.
type handmade struct {
	base    http.RoundTripper
	circuit *gobreaker.CircuitBreaker[*http.Response]
}

func byHand(base http.RoundTripper) http.RoundTripper {
	return &handmade{base, gobreaker.NewCircuitBreaker[*http.Response](gobreaker.Settings{
		Name: "by hand", Interval: ruleSpan, BucketPeriod: time.Second, Timeout: cooldown,
		ReadyToTrip: func(c gobreaker.Counts) bool {
			return c.Requests >= ruleCalls && 2*c.TotalFailures >= c.Requests
		},
	})}
}

func (h *handmade) RoundTrip(req *http.Request) (*http.Response, error) {
	try := func() (*http.Response, error) {
		resp, err := h.circuit.Execute(func() (*http.Response, error) {
			ctx, cancel := context.WithTimeout(req.Context(), tryLimit)
			defer cancel()
			resp, err := h.base.RoundTrip(req.Clone(ctx))
			if err == nil && resp.StatusCode >= 500 {
				err = errStatus
			}
			return resp, err
		})
		if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
			err = backoff.Permanent(err)
		}
		return resp, err
	}
	waits := backoff.WithContext(backoff.WithMaxRetries(backoff.NewConstantBackOff(pause), tries-1), req.Context())
	return backoff.RetryWithData(try, waits)
}

// A schedule is what befalls all clients alike.
type schedule struct {
	name   string
	run    run
	after  int // the second in which the trouble ends
	ail    func(at time.Duration, n uint64) bool
	server func() *server // instead
}

func schedules() []schedule {
	outage := window{5 * time.Second, 12 * time.Second}
	return []schedule{
		{
			name: "metastable",
			run:  run{perSecond: 280, poisson: true, length: 240 * time.Second, seed: 1}, after: 70,
			server: func() *server { return newServer(workers, workTime, window{outageFrom, outageUntil}, 0) },
		},
		{
			name: "503 for seven seconds",
			run:  run{perSecond: 200, length: 40 * time.Second, seed: 1}, after: 12,
			ail: func(at time.Duration, _ uint64) bool { return outage.holds(at) },
		},
		{
			name: "one in five is 503",
			run:  run{perSecond: 200, length: 40 * time.Second, seed: 1}, after: 0,
			ail: func(_ time.Duration, n uint64) bool { return faults.Draw(1, 5, n, 0) < .2 },
		},
	}
}

// figures are what a client made of a schedule.
type figures struct {
	useful        float64 // per cent of all calls
	amplification float64
	recovery      time.Duration
}

func (f figures) String() string {
	return fmt.Sprintf("%.1f %% · %.2f × · %s", f.useful, f.amplification, seconds(f.recovery))
}

// worse reports whether f is beaten by other in a way that matters: on any of
// the three, by more than the draws of a run may do.
func (f figures) worse(other figures) bool {
	late := f.recovery == never && other.recovery != never ||
		f.recovery != never && other.recovery != never && f.recovery > other.recovery+2*time.Second
	return f.useful < other.useful-1 || f.amplification > other.amplification+.05 || late
}

// rivals are the libraries that people use instead.
func rivals() section {
	s := section{
		title: "Beside other libraries",
		about: `Useful answers of all calls, arrivals at the dependency of calls, and the time from
the end of the trouble until 95 % of ten seconds are useful. All have three
attempts of a second, 50 ms apart, and callers who leave after two seconds; all
breakers open for 5 s when half of at least 20 calls within 10 s failed. *Metastable*
is the set-up above. The target is a weak one: no other library that retries is
better in one of the three, by more than a point of useful answers, 0.05 × or 2 s,
without being worse in another.

We do not lead every row, by design; the last two rows of each schedule are what a
change would buy. When one in five is 503, a call needs a quarter of a retry, and a
budget of 20 % grants less: 4 points of useful answers fewer, for 0.06 × fewer
arrivals. A budget of 30 % has nearly all of them. It is not the default since
budgets of services in a row multiply, at worst to 1.73 × with three of 20 % and to
2.2 × with 30 %. What retries without one cost shows where everything fails: 1.35 ×
in seven seconds of 503, and a metastable failure without end unless there is a
breaker too.

In these seven seconds those without a breaker have more useful answers, since they
ask all the time, and so get the first good one. A breaker that judges by 10 s opens
when most of the outage is over, and then refuses good answers until its 5 s are. A
cooldown of 1 s gives back 5 of our 7 points and costs nothing where it is
metastable: it is what NewClient takes for attempts of a second, if it is not told
otherwise.`,
	}
	for _, sched := range schedules() {
		var once sync.Once
		var all []figures
		measure := func(t *testing.T) []figures {
			once.Do(func() {
				for _, c := range rivalClients {
					all = append(all, sched.measure(t, c.new))
				}
			})
			return all
		}
		for i, c := range rivalClients {
			r := row{name: sched.name + ", " + c.name, reference: "–", slow: true}
			if i == 0 {
				r.target = "none leads on all three"
			}
			r.measure = func(t *testing.T) (string, bool) {
				f := measure(t)[i]
				for _, other := range measure(t)[othersFrom:othersTo] {
					if f.worse(other) && !other.worse(f) {
						return f.String(), false
					}
				}
				return f.String(), true
			}
			s.rows = append(s.rows, r)
		}
	}
	return s
}

func (s schedule) measure(t *testing.T, client func(http.RoundTripper) http.RoundTripper) (f figures) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		base := &dependency{start: time.Now(), ail: s.ail}
		if s.server != nil {
			base.server = s.server()
		}
		transport := client(base)
		offered, good := s.run.drive(t, func(ctx context.Context, _ int) error {
			ctx, cancel := context.WithTimeout(ctx, callLimit)
			defer cancel()
			return ask(ctx, transport)
		})
		f = figures{
			useful:        100 * float64(sum(good)) / float64(sum(offered)),
			amplification: float64(base.arrivals.Load()) / float64(sum(offered)),
			recovery:      recovery(offered, good, s.after),
		}
	})
	return f
}

// ask fails unless the answer is 200.
func ask(ctx context.Context, transport http.RoundTripper) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://dependency/", http.NoBody)
	if err != nil {
		return err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errStatus
	}
	return nil
}

// A dependency answers at once, or from a server's queue.
type dependency struct {
	start    time.Time
	ail      func(at time.Duration, n uint64) bool // answer 503
	server   *server
	arrivals atomic.Uint64
}

func (d *dependency) RoundTrip(req *http.Request) (*http.Response, error) {
	n := d.arrivals.Add(1)
	status := http.StatusOK
	if d.ail != nil && d.ail(time.Since(d.start), n) {
		status = http.StatusServiceUnavailable
	}
	if d.server != nil {
		if err := d.server.serve(req.Context()); err != nil {
			return nil, err
		}
	}
	return &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: http.NoBody, Request: req,
	}, nil
}
