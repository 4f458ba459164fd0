package engine

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A Check is a demand on a client, such as
//
//	useful@fault >= bare + 15
//	recovery <= bare + 0.5s
//	in_flight <= 0.35 * bare
//	recovery <= cooldown + 0.2s
//	useful@fault >= bare - 5 or amplification@fault <= 0.6
//
// On the left is one of [Metrics], with a scope where it has one: run (the
// default), fault, or after, the five seconds after each fault. On the right is
// a number, or the same metric of another client, named, or a parameter of the
// client, such as cooldown; times a factor before it, plus or minus a number
// behind it. Times are in s, ms or us, and in ms without a unit. A recovery of
// never is above everything, but equal to itself. Alternatives are joined by
// "or".
type Check struct {
	text         string
	alternatives []comparison
}

type comparison struct {
	metric   Metric
	scope    string
	operator string
	factor   float64
	operand  string // a client or a parameter, "" for none
	number   float64
}

// A Metric is a figure that a [Check] can be about.
type Metric struct {
	Name    string
	Meaning string
	Time    bool // in milliseconds
	Scoped  bool // has a value for each scope

	of func(r *Result, s *Summary) (float64, bool)
}

// Metrics are all metrics, by name.
func Metrics() []Metric { return slices.Clone(metrics) }

var metrics = []Metric{
	scoped("useful", "useful answers, % of offered", func(s *Summary) float64 { return s.UsefulPercent }),
	scoped("success", "right answers, % of offered", func(s *Summary) float64 { return s.SuccessPercent }),
	scoped("goodput", "useful answers a second", func(s *Summary) float64 { return s.Goodput }),
	scoped("amplification", "arrivals / requests", func(s *Summary) float64 { return s.Amplification }),
	scoped("policy_amplification", "attempts / requests", func(s *Summary) float64 { return s.PolicyAmplification }),
	scoped("arrivals", "requests seen by the dependency", func(s *Summary) float64 { return float64(s.Arrivals) }),
	scoped("short_circuits", "requests refused by the breaker", func(s *Summary) float64 { return float64(s.ShortCircuits) }),
	scoped("transitions", "state changes of the breaker", func(s *Summary) float64 { return float64(s.Transitions) }),
	scoped("transitions_per_second", "the same, a second", func(s *Summary) float64 { return float64(s.Transitions) / max(s.Seconds, 1e-9) }),
	scopedTime("p50", "latency of all requests, median", func(s *Summary) float64 { return s.Latency.P50MS }),
	scopedTime("p90", "latency of all requests", func(s *Summary) float64 { return s.Latency.P90MS }),
	scopedTime("p99", "latency of all requests", func(s *Summary) float64 { return s.Latency.P99MS }),
	scopedTime("p999", "latency of all requests", func(s *Summary) float64 { return s.Latency.P999MS }),
	scopedTime("max", "latency of all requests, longest", func(s *Summary) float64 { return s.Latency.MaxMS }),
	scopedTime("useful_p50", "latency of useful answers, median", func(s *Summary) float64 { return s.UsefulTime.P50MS }),
	scopedTime("useful_p99", "latency of useful answers", func(s *Summary) float64 { return s.UsefulTime.P99MS }),
	scopedTime("failure_p50", "how fast failures come, median", func(s *Summary) float64 { return s.FailureTime.P50MS }),
	scopedTime("failure_p99", "how fast failures come", func(s *Summary) float64 { return s.FailureTime.P99MS }),
	scopedTime("short_circuit_p50", "how fast the breaker refuses, median", func(s *Summary) float64 { return s.ShortCircuit.P50MS }),
	{
		Name: "recovery", Meaning: "from the end of the last fault to useful again", Time: true,
		of: func(r *Result, _ *Summary) (float64, bool) {
			switch {
			case r.RecoveryMS != nil:
				return *r.RecoveryMS, true
			case r.Never():
				return never, true
			}
			return 0, true
		},
	},
	plain("in_flight", "calls under way, at most", func(r *Result) float64 { return float64(r.InFlightPeak) }),
	plain("connections", "connections opened", func(r *Result) float64 { return float64(r.ConnectionsOpened) }),
	plain("duplicates", "writes that took effect again", func(r *Result) float64 { return float64(r.Duplicates) }),
	plain("early_retries", "retries before Retry-After had passed", func(r *Result) float64 { return float64(r.EarlyRetries) }),
	plain("opened", "times that the breaker opened", func(r *Result) float64 { return float64(r.Breaker.Opened) }),
	plain("good_refused", "short-circuits outside of the fault windows", func(r *Result) float64 { return float64(r.Breaker.GoodRefused) }),
	{
		Name: "time_to_open", Meaning: "from the first fault until the breaker opens", Time: true,
		of: func(r *Result, _ *Summary) (float64, bool) {
			if r.Breaker.TimeToOpenMS == nil {
				return never, true
			}
			return *r.Breaker.TimeToOpenMS, true
		},
	},
}

// never is later than everything.
const never = 1e13

func scoped(name, meaning string, of func(*Summary) float64) Metric {
	return Metric{Name: name, Meaning: meaning, Scoped: true, of: func(_ *Result, s *Summary) (float64, bool) {
		if s == nil {
			return 0, false
		}
		return of(s), true
	}}
}

func scopedTime(name, meaning string, of func(*Summary) float64) Metric {
	m := scoped(name, meaning, of)
	m.Time = true
	return m
}

func plain(name, meaning string, of func(*Result) float64) Metric {
	return Metric{Name: name, Meaning: meaning, of: func(r *Result, _ *Summary) (float64, bool) { return of(r), true }}
}

var (
	left  = regexp.MustCompile(`^\s*([a-z0-9_]+)(?:@([a-z]+))?\s*(<=|>=|<|>|==)\s*(.*?)\s*$`)
	right = regexp.MustCompile(`^(?:([0-9.]+)\s*\*\s*)?([a-z][a-z0-9_-]*)?\s*(?:([+-]?)\s*([0-9.]+)\s*(us|ms|s|%)?)?$`)
)

// ParseCheck reads a check.
func ParseCheck(text string) (Check, error) {
	c := Check{text: strings.TrimSpace(text)}
	for part := range strings.SplitSeq(text, " or ") {
		one, err := parseComparison(part)
		if err != nil {
			return Check{}, fmt.Errorf("check %q: %w", c.text, err)
		}
		c.alternatives = append(c.alternatives, one)
	}
	return c, nil
}

func parseComparison(text string) (comparison, error) {
	var c comparison
	m := left.FindStringSubmatch(text)
	if m == nil {
		return c, fmt.Errorf("%q is not of the form METRIC <= BOUND", strings.TrimSpace(text))
	}
	i := slices.IndexFunc(metrics, func(metric Metric) bool { return metric.Name == m[1] })
	if i < 0 {
		return c, fmt.Errorf("metric is %q, must be one of %s", m[1], metricNames())
	}
	c.metric, c.scope, c.operator, c.factor = metrics[i], m[2], m[3], 1
	switch {
	case c.scope != "" && !c.metric.Scoped:
		return c, fmt.Errorf("scope is %q, must not be given for %s", c.scope, c.metric.Name)
	case c.scope != "" && c.scope != "run" && c.scope != "fault" && c.scope != "after":
		return c, fmt.Errorf("scope is %q, must be run, fault or after", c.scope)
	}
	err := parseBound(&c, m[4])
	return c, err
}

func parseBound(c *comparison, bound string) error {
	m := right.FindStringSubmatch(bound)
	if m == nil || m[2] == "" && (m[4] == "" || m[1] != "" || m[3] == "+") || m[2] != "" && m[4] != "" && m[3] == "" {
		return fmt.Errorf("bound is %q, must be like 10, 2s, bare + 15, 0.35 * bare or cooldown + 0.2s", bound)
	}
	c.operand = m[2]
	for _, f := range []struct {
		text string
		into *float64
	}{{m[1], &c.factor}, {m[4], &c.number}} {
		if f.text == "" {
			continue
		}
		v, err := strconv.ParseFloat(f.text, 64)
		if err != nil {
			return fmt.Errorf("number is %q, must be a decimal number", f.text)
		}
		*f.into = v
	}
	if m[3] == "-" {
		c.number = -c.number
	}
	switch unit := m[5]; {
	case unit == "":
	case unit == "%" == c.metric.Time:
		return fmt.Errorf("unit is %q, does not suit %s", unit, c.metric.Name)
	case unit == "s":
		c.number *= 1000
	case unit == "us":
		c.number /= 1000
	}
	return nil
}

func metricNames() string {
	var names []string
	for _, m := range metrics {
		names = append(names, m.Name)
	}
	return strings.Join(names, ", ")
}

// String returns the text of the check.
func (c Check) String() string { return c.text }

// A Verdict says whether a client met a check.
type Verdict struct {
	Check   string  `json:"check"`
	Client  string  `json:"client"`
	OK      bool    `json:"ok"`
	Value   float64 `json:"value"`             // what was measured, in ms if a time; never is 1e13
	Bound   float64 `json:"bound"`             // what was demanded
	Problem string  `json:"problem,omitempty"` // why the check could not be judged
}

// String returns the verdict in a line.
func (v Verdict) String() string {
	word := "ok  "
	if !v.OK {
		word = "MISS"
	}
	if v.Problem != "" {
		return fmt.Sprintf("%s %s: %s (%s)", word, v.Client, v.Check, v.Problem)
	}
	return fmt.Sprintf("%s %s: %s (%s against %s)", word, v.Client, v.Check, show(v.Value), show(v.Bound))
}

func show(v float64) string {
	if v >= never/2 {
		return "never"
	}
	return strconv.FormatFloat(v, 'g', 6, 64)
}

// Judge says whether a client of the report meets the check. If there are
// alternatives it is the first that is met, or else the first.
func (c Check) Judge(report *Report, client string) Verdict {
	first := Verdict{}
	for i, one := range c.alternatives {
		v := one.judge(report, client)
		v.Check, v.Client = c.text, client
		if v.OK {
			return v
		}
		if i == 0 {
			first = v
		}
	}
	return first
}

func (c comparison) judge(report *Report, client string) Verdict {
	r := report.client(client)
	if r == nil {
		return Verdict{Problem: "no such client"}
	}
	value, ok := c.value(r)
	if !ok {
		return Verdict{Problem: "no such scope in this scenario"}
	}
	bound := c.number
	if c.operand != "" {
		base, ok := r.Parameters[c.operand]
		if other := report.client(c.operand); !ok && other != nil {
			base, ok = c.value(other)
		}
		if !ok {
			known := slices.Sorted(maps.Keys(r.Parameters))
			return Verdict{Problem: fmt.Sprintf("%q is neither a client nor a parameter of it: %s", c.operand, strings.Join(known, ", "))}
		}
		bound += c.factor * base
	}
	return Verdict{OK: c.holds(value, bound), Value: value, Bound: bound}
}

func (c comparison) value(r *Result) (float64, bool) {
	s := r.Run
	switch c.scope {
	case "fault":
		s = r.Fault
	case "after":
		s = r.After
	}
	return c.metric.of(r, s)
}

// slack is what floating-point numbers may differ by.
const slack = 1e-9

func (c comparison) holds(value, bound float64) bool {
	switch c.operator {
	case "<=":
		return value <= bound+slack
	case ">=":
		return value >= bound-slack
	case "<":
		return value < bound-slack
	case ">":
		return value > bound+slack
	default:
		return value >= bound-slack && value <= bound+slack
	}
}

func (r *Report) client(name string) *Result {
	for _, c := range r.Clients {
		if c.Client == name {
			return c
		}
	}
	return nil
}
