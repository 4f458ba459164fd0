package report

import (
	"math"
	"slices"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/engine"
)

// plots is what the page's script draws. Times are in seconds, and values that do
// not exist are null.
type plots struct {
	Duration float64      `json:"duration"`
	Faults   []shade      `json:"faults"`
	X        []float64    `json:"x"` // middles of the bins
	Bin      float64      `json:"bin"`
	Offered  []*float64   `json:"offered"`
	CoarseX  []float64    `json:"coarse_x"` // of the latencies
	Clients  []clientPlot `json:"clients"`
	Nines    []float64    `json:"nines"` // -log10(1 - share), of the percentiles
	Sweep    *sweep       `json:"sweep,omitempty"`
}

type shade struct {
	Name   string       `json:"name"`
	Chance float64      `json:"chance"`
	Spans  [][2]float64 `json:"spans"`
}

type clientPlot struct {
	Name          string     `json:"name"`
	Goodput       []*float64 `json:"goodput"`
	Arrivals      []*float64 `json:"arrivals"`
	Amplification []*float64 `json:"amplification"`
	InFlight      []*float64 `json:"in_flight"`
	ShortCircuits []*float64 `json:"short_circuits"`
	Budget        []*float64 `json:"budget,omitempty"`
	P50           []*float64 `json:"p50"`
	P99           []*float64 `json:"p99"`
	FailureP50    []*float64 `json:"failure_p50"`
	FailureP99    []*float64 `json:"failure_p99"`
	Bands         []band     `json:"bands"`
	Guarded       bool       `json:"guarded"` // has a breaker
	States        []state    `json:"states,omitempty"`
	Probes        []float64  `json:"probes,omitempty"`
	Percentiles   []*float64 `json:"percentiles"` // at the nines, in ms
}

type band struct {
	Name   string     `json:"name"`
	Key    string     `json:"key"`
	Values []*float64 `json:"values"` // a second
}

type state struct {
	From   float64 `json:"from"`
	To     float64 `json:"to"`
	State  string  `json:"state"`
	Reason string  `json:"reason"`
}

// A sweep is the same scenario at several rates.
type sweep struct {
	Offered []float64    `json:"offered"`
	Goodput [][]*float64 `json:"goodput"` // of each client
}

// maxBins is how many points a line has at most.
const maxBins = 150

func plotsOf(r *engine.Report) plots {
	p := plots{Duration: r.Scenario.DurationMS / 1000}
	for _, f := range r.Scenario.Faults {
		s := shade{Name: f.Name, Chance: f.Chance}
		for _, span := range f.Spans {
			s.Spans = append(s.Spans, [2]float64{span.FromMS / 1000, span.ToMS / 1000})
		}
		p.Faults = append(p.Faults, s)
	}
	if len(r.Clients) == 0 {
		return p
	}
	cells := r.Clients[0].Cells
	b := binning{n: max((len(cells.Offered)+maxBins-1)/maxBins, 1), cell: cells.CellMS / 1000}
	b.end = ran(r)
	p.Bin = b.seconds()
	p.X = b.middles(len(cells.Offered))
	p.Offered = b.perSecond(cells.Offered)
	if l := r.Clients[0].Latencies; l.CellMS > 0 {
		for i := range l.P50 {
			p.CoarseX = append(p.CoarseX, (float64(i)+0.5)*l.CellMS/1000)
		}
	}
	var longest float64
	for _, c := range r.Clients {
		longest = max(longest, math.Log10(float64(max(c.Run.Latency.Count, 1))))
	}
	for nines := 0.0; nines <= longest+0.001; nines += 0.05 {
		p.Nines = append(p.Nines, rounded(nines))
	}
	for _, c := range r.Clients {
		p.Clients = append(p.Clients, clientPlotOf(c, b, p))
	}
	return p
}

// ran returns how many cells the run had: less than all if it was interrupted.
func ran(r *engine.Report) int {
	end := 0
	for _, c := range r.Clients {
		for i, n := range c.Cells.Offered {
			if n > 0 {
				end = max(end, i+1)
			}
		}
	}
	return end
}

func clientPlotOf(c *engine.Result, b binning, p plots) clientPlot {
	// The last cell also has the arrivals that came after the end.
	atDependency := b
	atDependency.end = max(b.end-1, 0)
	out := clientPlot{
		Name:          c.Client,
		Goodput:       b.perSecond(c.Cells.Useful),
		Arrivals:      atDependency.perSecond(c.Cells.Arrivals),
		Amplification: atDependency.quotients(c.Cells.Arrivals, c.Cells.Offered),
		InFlight:      b.highest(c.Cells.InFlight),
		ShortCircuits: b.perSecond(c.Cells.ShortCircuits),
		Budget:        b.lasts(c.Cells.Budget),
		P50:           roundedAll(c.Latencies.P50),
		P99:           roundedAll(c.Latencies.P99),
		FailureP50:    roundedAll(c.Latencies.FailureP50),
		FailureP99:    roundedAll(c.Latencies.FailureP99),
		Guarded:       guarded(c),
	}
	for _, o := range engine.Outcomes {
		if values := c.Cells.Outcomes[o]; values != nil {
			out.Bands = append(out.Bands, band{Name: outcomeName(o), Key: string(o), Values: b.perSecond(values)})
		}
	}
	if out.Guarded {
		out.States = states(c, p.Duration)
		for i, n := range c.Cells.Probes {
			if n > 0 {
				out.Probes = append(out.Probes, rounded((float64(i)+0.5)*b.cell))
			}
		}
	}
	if h, err := hdrhistogram.Decode([]byte(c.Histograms["run.latency"])); err == nil && h.TotalCount() > 0 {
		for _, nines := range p.Nines {
			// A percentile beyond the last value is not known.
			if nines > math.Log10(float64(h.TotalCount()))+0.05 {
				out.Percentiles = append(out.Percentiles, nil)
				continue
			}
			v := float64(h.ValueAtPercentile(100*(1-math.Pow(10, -nines)))) / 1000
			out.Percentiles = append(out.Percentiles, new(rounded(v)))
		}
	} else {
		out.Percentiles = make([]*float64, len(p.Nines))
	}
	return out
}

// states returns the states of a client's breaker, one after the other.
func states(c *engine.Result, end float64) []state {
	all := []state{{State: "closed"}}
	for _, t := range c.Breaker.Transitions {
		at := rounded(t.AtMS / 1000)
		all[len(all)-1].To = at
		all = append(all, state{From: at, State: t.To, Reason: t.Reason})
	}
	all[len(all)-1].To = max(end, all[len(all)-1].From)
	return all
}

// A binning puts n cells together into a bin.
type binning struct {
	n    int
	cell float64 // in seconds
	end  int     // how many cells the run had
}

func (b binning) seconds() float64 { return b.cell * float64(b.n) }

func (b binning) middles(cells int) []float64 {
	var x []float64
	for i := 0; i < cells; i += b.n {
		x = append(x, rounded((float64(i)+float64(b.n)/2)*b.cell))
	}
	return x
}

// each calls f for the cells of each bin, whose result is null if there are none.
func each[T any](b binning, cells []T, f func(i int, bin []T) *float64) []*float64 {
	if len(cells) == 0 {
		return nil
	}
	var out []*float64
	for i := 0; i < len(cells); i += b.n {
		var v *float64
		if to := min(i+b.n, b.end, len(cells)); to > i {
			if v = f(i, cells[i:to]); v != nil {
				*v = rounded(*v)
			}
		}
		out = append(out, v)
	}
	return out
}

func (b binning) perSecond(cells []int64) []*float64 {
	return each(b, cells, func(_ int, bin []int64) *float64 {
		return new(float64(total(bin)) / (float64(len(bin)) * b.cell))
	})
}

func (b binning) highest(cells []int64) []*float64 {
	return each(b, cells, func(_ int, bin []int64) *float64 { return new(float64(slices.Max(bin))) })
}

func (b binning) lasts(cells []float64) []*float64 {
	return each(b, cells, func(_ int, bin []float64) *float64 {
		if last := bin[len(bin)-1]; last >= 0 {
			return new(last)
		}
		return nil
	})
}

// quotients divides over a second around each bin, since an arrival may belong to
// a request of the bin before.
func (b binning) quotients(over, under []int64) []*float64 {
	around := max(int(math.Round(0.5/b.cell)), 0)
	return each(b, over, func(i int, bin []int64) *float64 {
		from, to := max(i-around, 0), min(i+len(bin)+around, b.end, len(under))
		if n := total(under[from:to]); n > 0 {
			return new(float64(total(over[from:to])) / float64(n))
		}
		return nil
	})
}

func total(values []int64) int64 {
	var sum int64
	for _, v := range values {
		sum += v
	}
	return sum
}

// rounded keeps the page small.
func rounded(v float64) float64 { return math.Round(v*1000) / 1000 }

func roundedAll(values []*float64) []*float64 {
	out := make([]*float64, len(values))
	for i, v := range values {
		if v != nil {
			out[i] = new(rounded(*v))
		}
	}
	return out
}

// sweepOf returns the sweep that reports of the same scenario are, or nil.
func sweepOf(reports []*engine.Report) *sweep {
	if len(reports) < 2 {
		return nil
	}
	reports = slices.SortedFunc(slices.Values(reports), func(a, b *engine.Report) int {
		return int(math.Copysign(1, offered(a)-offered(b)))
	})
	s := &sweep{Goodput: make([][]*float64, len(reports[0].Clients))}
	for _, r := range reports {
		s.Offered = append(s.Offered, rounded(offered(r)))
		for i := range s.Goodput {
			var v *float64
			if i < len(r.Clients) {
				v = new(rounded(r.Clients[i].Run.Goodput))
			}
			s.Goodput[i] = append(s.Goodput[i], v)
		}
	}
	return s
}

// offered returns the requests a second that were offered.
func offered(r *engine.Report) float64 {
	if len(r.Clients) == 0 || r.Clients[0].Run.Seconds == 0 {
		return 0
	}
	return float64(r.Clients[0].Run.Offered) / r.Clients[0].Run.Seconds
}
