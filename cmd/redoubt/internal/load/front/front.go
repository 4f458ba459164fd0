package front

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/propagation"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/ops"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/engine"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/report"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/scenario"
)

// OutcomeHeader tells what became of a request that has no answer of the
// upstream, in the words of the report.
const OutcomeHeader = "Redoubt-Outcome"

// requestBuffer is how much of a request body is kept to be sent again.
const requestBuffer = 64 << 10

// A Config says what to stand before.
type Config struct {
	// Upstream is the dependency. Its path is put before those of requests.
	Upstream *url.URL

	// Limit and AttemptTimeout are the guarded side's.
	Limit, AttemptTimeout time.Duration

	// UsefulWithin is how soon an answer has to be there to be useful.
	UsefulWithin time.Duration

	// Histograms makes the reports hold the histograms of all intervals, for
	// a log of them.
	Histograms bool
}

// A Front stands before a dependency. It is safe for concurrent use. Make one
// with [New].
type Front struct {
	scenario      *scenario.Scenario
	guarded, bare *side
	transport     *http.Transport
}

// New returns a front whose record begins now.
func New(c Config) (*Front, error) {
	s, err := scenario.Parse("front", fmt.Appendf(nil,
		"name: front\ntitle: what passed through the front\nuseful-within: %v\npatience: %v\n", c.UsefulWithin, max(c.UsefulWithin, c.Limit)))
	if err != nil {
		return nil, fmt.Errorf("front: %w", err)
	}
	transport := redoubt.NewBase()
	transport.MaxIdleConnsPerHost, transport.MaxIdleConns = 1024, 1024
	f := &Front{scenario: s, transport: transport}
	guarded := engine.Timed(c.Limit, c.AttemptTimeout, func(config *redoubt.ClientConfig) {
		config.Transport.MaxRequestBuffer = requestBuffer
		config.Transport.Propagator = propagation.TraceContext{}
	})
	now := time.Now()
	f.guarded = newSide(c.Upstream, engine.NewLive(s, guarded, transport, now, c.Histograms))
	f.bare = newSide(c.Upstream, engine.NewLive(s, engine.Bare(), transport, now, c.Histograms))
	return f, nil
}

// Guarded returns the handler that sends requests through the layers.
func (f *Front) Guarded() http.Handler { return f.guarded }

// Bare returns the handler that sends each request once.
func (f *Front) Bare() http.Handler { return f.bare }

// Close closes idle connections to the upstream.
func (f *Front) Close() { f.transport.CloseIdleConnections() }

// Admin returns the handler for what the front knows:
//
//	GET  /report.json   what was measured, as redoubt load --json writes it
//	GET  /report.html   the same as a page with plots
//	POST /reset         begins the record anew
//	GET  /ops/          circuits and budgets live; from this machine, circuits can
//	                    be forced
//	GET  /healthz       200
func (f *Front) Admin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /report.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(f.Report())
	})
	mux.HandleFunc("GET /report.html", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if err := report.HTML(w, f.Report()); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("POST /reset", func(w http.ResponseWriter, _ *http.Request) {
		f.Reset()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.Handle("/ops/", ops.New(ops.Config{
		Name:      "the guarded side",
		Clients:   []*http.Client{f.guarded.live.Client()},
		Authorize: ops.Loopback,
	}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.Handle("GET /{$}", http.RedirectHandler("/report.html", http.StatusTemporaryRedirect))
	return mux
}

// Reset begins the record anew. Breaker and budget keep their state.
func (f *Front) Reset() {
	now := time.Now()
	f.guarded.live.Reset(now)
	f.bare.live.Reset(now)
}

// Report returns what was measured since the record began. A side that nobody
// asked is left out, unless it is the guarded one.
func (f *Front) Report() *engine.Report {
	now, begun := time.Now(), f.guarded.live.Begun()
	guarded := f.guarded.live.Result(now)
	results := []*engine.Result{guarded}
	if bare := f.bare.live.Result(now); bare.Run.Offered > 0 {
		results = []*engine.Result{bare, guarded}
	}
	s := f.scenario.WithDuration(now.Sub(begun))
	if s.Rate = 0; guarded.Run.Seconds > 0 {
		s.Rate = math.Round(float64(guarded.Run.Offered)/guarded.Run.Seconds*10) / 10
	}
	return engine.NewReport(s, 0, false, begun, results...)
}

// A side is the front with a client.
type side struct {
	live  *engine.Live
	proxy *httputil.ReverseProxy
}

func newSide(upstream *url.URL, live *engine.Live) *side {
	return &side{live, &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(upstream)
			r.SetXForwarded()
		},
		Transport:    live,
		ErrorHandler: fail,
		ErrorLog:     log.New(io.Discard, "", 0), // what breaks off is in the report
	}}
}

// ServeHTTP passes a request on and takes down what became of it.
func (s *side) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	ctx, passage := s.live.Begin(ctx)
	passedOn := false
	defer func() { passage.End(passedOn) }() // also if the proxy panics to abort the response
	s.proxy.ServeHTTP(w, r.WithContext(ctx))
	passedOn = true
}

// fail answers a request that has no answer of the upstream.
func fail(w http.ResponseWriter, r *http.Request, err error) {
	outcome := engine.OutcomeOf(r.Context(), err)
	status := http.StatusBadGateway
	switch outcome {
	case engine.ShortCircuited:
		status = http.StatusServiceUnavailable
		if open, ok := errors.AsType[*breaker.OpenError](err); ok {
			after, _ := open.RetryAfter()
			w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(max(after.Seconds(), 1)))))
		}
	case engine.AttemptTimeout:
		status = http.StatusGatewayTimeout
	}
	w.Header().Set(OutcomeHeader, string(outcome))
	http.Error(w, string(outcome), status)
}
