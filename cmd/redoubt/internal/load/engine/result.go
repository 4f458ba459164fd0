package engine

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Schema is the version of the JSON that a [Report] becomes. It changes when a
// field changes its meaning or goes away.
const Schema = "redoubt-load/1"

// A Report is the outcome of one scenario for all clients. Durations are in
// milliseconds wherever a name ends in "_ms", and the axis of all times is that
// of the scenario.
type Report struct {
	Schema   string       `json:"schema"`
	Scenario ScenarioInfo `json:"scenario"`
	Seed     uint64       `json:"seed"`
	Virtual  bool         `json:"virtual"` // in virtual time: the same numbers each time
	Started  time.Time    `json:"started"`
	Clients  []*Result    `json:"clients"` // the first is what the others are compared with
	Warnings []string     `json:"warnings,omitempty"`
	Checks   []Verdict    `json:"checks,omitempty"`
}

// ScenarioInfo is what a reader has to know of a scenario.
type ScenarioInfo struct {
	Name       string      `json:"name"`
	Title      string      `json:"title"`
	About      string      `json:"about,omitempty"`
	Rate       float64     `json:"rate"`
	DurationMS float64     `json:"duration_ms"`
	UsefulMS   float64     `json:"useful_within_ms"`
	PatienceMS float64     `json:"patience_ms"`
	Faults     []FaultInfo `json:"faults,omitempty"`
	Windows    []Span      `json:"windows,omitempty"` // for the scope "fault"; none is all of the run
	Targets    []string    `json:"targets,omitempty"`
	Source     string      `json:"source"` // the YAML
}

// FaultInfo is a fault for the report's shading.
type FaultInfo struct {
	Name   string  `json:"name"`
	Chance float64 `json:"chance"`
	Spans  []Span  `json:"spans"` // when it can strike
}

// A Span is a stretch of time.
type Span struct {
	FromMS float64 `json:"from_ms"`
	ToMS   float64 `json:"to_ms"`
}

// A Result is what one client made of a scenario.
type Result struct {
	Client string `json:"client"`
	About  string `json:"about"`
	// Explanation is what its layers do to a call, in lines; of --target.
	Explanation string `json:"explanation,omitempty"`

	Parameters map[string]float64 `json:"parameters,omitempty"` // for checks, in ms: cooldown, attempt_timeout

	Run   *Summary `json:"run"`
	Fault *Summary `json:"fault"`           // in the fault windows
	After *Summary `json:"after,omitempty"` // in the 5 s after each, if there are any

	RecoveryMS *float64  `json:"recovery_ms"` // null if there was nothing to recover from, and if it never did
	Recovered  bool      `json:"recovered"`   // false is never
	Breaker    Breaker   `json:"breaker"`
	Generator  Generator `json:"generator"`

	InFlightPeak       int64   `json:"in_flight_peak"`
	GoroutinesPeak     int64   `json:"goroutines_peak"`
	ConnectionsOpened  int64   `json:"connections_opened"`
	RequestsWritten    int64   `json:"requests_written"` // by net/http, its own repetitions included; 0 without connections
	Effects            int64   `json:"effects"`
	Duplicates         int64   `json:"duplicates"`
	EarlyRetries       int64   `json:"early_retries"`      // before Retry-After had passed
	SlowMadeFailures   int64   `json:"slow_made_failures"` // answers that an attempt timeout cut off and the dependency finished
	ArrivalsPeakSecond int64   `json:"arrivals_peak_second"`
	CPUMS              float64 `json:"cpu_ms,omitempty"` // of the whole process, while the client ran; 0 where that is not known

	Cells     Cells     `json:"cells"`
	Latencies Latencies `json:"latencies"`

	// Histograms are HDR histograms in microseconds, in the V2 compressed
	// encoding and base64, as HDR logs have them: lag, and of each scope
	// latency, useful_time, failure_time, from_send and short_circuit, such
	// as "run.latency".
	Histograms map[string]string `json:"histograms"`
}

// Never reports whether the client had not recovered when the run ended.
func (r *Result) Never() bool { return !r.Recovered }

// A Summary is a client's figures for the requests whose intended start is in
// a scope, and the arrivals and attempts in the same time.
type Summary struct {
	Seconds float64 `json:"seconds"`
	Offered int64   `json:"offered"`
	Started int64   `json:"started"`
	Dropped int64   `json:"dropped"` // by the generator

	Useful         int64             `json:"useful"`
	Success        int64             `json:"success"` // useful, and right but late
	UsefulPercent  float64           `json:"useful_percent"`
	SuccessPercent float64           `json:"success_percent"`
	Goodput        float64           `json:"goodput"` // a second
	Outcomes       map[Outcome]int64 `json:"outcomes"`

	Attempts            int64             `json:"attempts"`
	Arrivals            int64             `json:"arrivals"`
	Abandoned           int64             `json:"abandoned"` // work done for callers that had left
	Amplification       float64           `json:"amplification"`
	PolicyAmplification float64           `json:"policy_amplification"`
	AttemptsPerRequest  []int64           `json:"attempts_per_request"` // how many requests had 0, 1, 2, … attempts
	Retries             map[Outcome]int64 `json:"retries"`              // by what the attempt before had come to
	RetriesHelped       int64             `json:"retries_helped"`
	RetriesWasted       int64             `json:"retries_wasted"`
	RetriesDenied       map[string]int64  `json:"retries_denied"` // by reason: budget, deadline, retry_after
	ShortCircuits       int64             `json:"short_circuits"`
	Transitions         int64             `json:"transitions"`

	Latency      Quantiles `json:"latency"`       // of all requests, from the intended start
	UsefulTime   Quantiles `json:"useful_time"`   // of useful answers
	FailureTime  Quantiles `json:"failure_time"`  // how fast it fails
	FromSend     Quantiles `json:"from_send"`     // of all requests, from the actual start
	ShortCircuit Quantiles `json:"short_circuit"` // of short-circuits
}

// Quantiles of a time, in milliseconds.
type Quantiles struct {
	Count  int64   `json:"count"`
	MeanMS float64 `json:"mean_ms"`
	P50MS  float64 `json:"p50_ms"`
	P90MS  float64 `json:"p90_ms"`
	P99MS  float64 `json:"p99_ms"`
	P999MS float64 `json:"p999_ms"`
	MaxMS  float64 `json:"max_ms"`
}

// Generator is how well the load was generated.
type Generator struct {
	LagP99MS float64 `json:"lag_p99_ms"`
	LagMaxMS float64 `json:"lag_max_ms"`
	Dropped  int64   `json:"dropped"`
}

// Breaker is what a client's circuit breaker did. It is zero for clients
// without one.
type Breaker struct {
	Transitions   []Transition `json:"transitions,omitempty"`
	TimeToOpenMS  *float64     `json:"time_to_open_ms"`  // from the beginning of the first fault; null if it did not open
	TimeToCloseMS *float64     `json:"time_to_close_ms"` // from the end of the last fault; null if it was closed or stayed open
	OpenMS        float64      `json:"open_ms"`          // time not closed
	Opened        int64        `json:"opened"`           // times, from closed
	Probes        int64        `json:"probes"`
	ProbesFailed  int64        `json:"probes_failed"`
	GoodRefused   int64        `json:"good_refused"` // short-circuits outside of the fault windows
}

// A Transition is a state change of a breaker.
type Transition struct {
	AtMS   float64 `json:"at_ms"`
	From   string  `json:"from"`
	To     string  `json:"to"`
	Reason string  `json:"reason"`
	Error  string  `json:"error,omitempty"`
}

// Cells are a client's figures over time, column by column: the nth value of
// each is of the time from n·CellMS on. Requests are in the cell of their
// intended start, arrivals and attempts in that of their own time.
type Cells struct {
	CellMS        float64             `json:"cell_ms"`
	Offered       []int64             `json:"offered"`
	Useful        []int64             `json:"useful"`
	Outcomes      map[Outcome][]int64 `json:"outcomes"` // for stacked bands; useful is one of them
	Attempts      []int64             `json:"attempts"`
	Arrivals      []int64             `json:"arrivals"`
	Abandoned     []int64             `json:"abandoned"`
	InFlight      []int64             `json:"in_flight"` // at most
	ShortCircuits []int64             `json:"short_circuits"`
	Probes        []int64             `json:"probes"`
	Budget        []float64           `json:"budget,omitempty"` // tokens at the end of the cell
}

// Latencies are quantiles over time, in coarser cells; null where nothing
// ended.
type Latencies struct {
	CellMS     float64    `json:"cell_ms"`
	P50        []*float64 `json:"p50_ms"`
	P99        []*float64 `json:"p99_ms"`
	FailureP50 []*float64 `json:"failure_p50_ms"`
	FailureP99 []*float64 `json:"failure_p99_ms"`

	// All and Failures are the histograms behind these, as in
	// Result.Histograms. Shards have them, to be merged, and runs with --hdr.
	All      []string `json:"all,omitempty"`
	Failures []string `json:"failures,omitempty"`
}

// An Outcome is what became of a request, or of an attempt.
type Outcome string

// The outcomes.
const (
	Useful         Outcome = "useful"          // the right answer in time
	Late           Outcome = "late"            // the right answer, too late to be useful
	AttemptTimeout Outcome = "attempt_timeout" // the client's limit for an attempt or a call
	CallerTimeout  Outcome = "caller_timeout"  // the caller's patience
	RefusedConn    Outcome = "refused"
	ResetConn      Outcome = "reset"
	Truncated      Outcome = "truncated"
	NoHost         Outcome = "no_host"
	ServerError    Outcome = "5xx"
	Throttled      Outcome = "429"
	ClientError    Outcome = "4xx"
	ShortCircuited Outcome = "short_circuit"
	Cancelled      Outcome = "cancelled" // the run was interrupted
	Other          Outcome = "other"
)

// Outcomes are all outcomes, in the order in which bands are stacked.
var Outcomes = []Outcome{
	Useful, Late, ServerError, Throttled, ClientError, RefusedConn, ResetConn, Truncated, NoHost,
	AttemptTimeout, CallerTimeout, ShortCircuited, Cancelled, Other,
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// The histograms count microseconds. What is above the highest is counted as
// the highest, where the library would drop it.
const highest = int64(time.Hour / time.Microsecond)

type histogram struct{ *hdrhistogram.Histogram }

func newHistogram(digits int) histogram {
	return histogram{hdrhistogram.New(1, highest, digits)}
}

func (h histogram) record(d time.Duration) {
	_ = h.RecordValue(min(max(d.Microseconds(), 0), highest)) // it fails beyond the highest only
}

func (h histogram) at(percentile float64) float64 {
	return float64(h.ValueAtPercentile(percentile)) / 1000
}

// maybe returns a percentile, or nil if there are no values.
func (h histogram) maybe(percentile float64) *float64 {
	if h.TotalCount() == 0 {
		return nil
	}
	return new(h.at(percentile))
}

func (h histogram) quantiles() Quantiles {
	if h.TotalCount() == 0 {
		return Quantiles{}
	}
	return Quantiles{
		Count:  h.TotalCount(),
		MeanMS: h.Mean() / 1000,
		P50MS:  h.at(50),
		P90MS:  h.at(90),
		P99MS:  h.at(99),
		P999MS: h.at(99.9),
		MaxMS:  float64(h.Max()) / 1000,
	}
}

func (h histogram) encode() string {
	text, err := h.EncodeV2() // which is base64 already
	if err != nil {
		return ""
	}
	return string(text)
}

// decodeHistogram is the inverse of encode.
func decodeHistogram(text string) (histogram, error) {
	h, err := hdrhistogram.Decode([]byte(text))
	if err != nil {
		return histogram{}, fmt.Errorf("engine: histogram: %w", err)
	}
	return histogram{h}, nil
}
