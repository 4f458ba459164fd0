package report

import (
	"fmt"
	"math"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/engine"
)

// A Finding is something that a client gained or cost, compared with the first
// client of the report.
type Finding struct {
	Client string
	Gain   bool
	Text   string
}

// Findings returns what the clients after the first gained and cost, the most
// important first. Differences that may be chance are left out.
func Findings(r *engine.Report) []Finding {
	var all []Finding
	if len(r.Clients) == 0 {
		return nil
	}
	for _, c := range r.Clients[1:] {
		f := finder{base: r.Clients[0], client: c}
		f.recovery()
		f.useful()
		f.load()
		if f.base.After != nil {
			f.usefulIn("during the fault", f.base.Fault, f.client.Fault)
		}
		f.speed()
		f.side()
		all = append(all, f.found...)
	}
	return all
}

// A finder compares a client with the base.
type finder struct {
	base, client *engine.Result
	found        []Finding
}

func (f *finder) gainf(format string, args ...any) { f.add(true, format, args...) }
func (f *finder) costf(format string, args ...any) { f.add(false, format, args...) }

func (f *finder) add(gain bool, format string, args ...any) {
	f.found = append(f.found, Finding{f.client.Client, gain, fmt.Sprintf(format, args...)})
}

// recovery compares how soon they were well again.
func (f *finder) recovery() {
	const chance = 300 // ms; recovery is told in cells of 100
	base, client := f.base, f.client
	switch {
	case client.Never() && base.Never(), client.RecoveryMS == nil && !client.Never():
	case client.Never() && base.RecoveryMS != nil:
		f.costf("never recovered, where %s took %s", base.Client, millis(*base.RecoveryMS))
	case base.Never():
		f.gainf("recovered in %s, where %s never did", millis(*client.RecoveryMS), base.Client)
	case base.RecoveryMS == nil:
	case *client.RecoveryMS > *base.RecoveryMS+chance:
		f.costf("recovered %s later", millis(*client.RecoveryMS-*base.RecoveryMS))
	case *client.RecoveryMS < *base.RecoveryMS-chance:
		f.gainf("recovered %s sooner", millis(*base.RecoveryMS-*client.RecoveryMS))
	}
}

// useful compares the share of useful answers, where it matters most.
func (f *finder) useful() {
	if f.base.After != nil {
		f.usefulIn("after the fault", f.base.After, f.client.After)
	} else {
		f.usefulIn("in the whole run", f.base.Run, f.client.Run)
	}
}

func (f *finder) usefulIn(when string, base, client *engine.Summary) {
	if base == nil || client == nil || base.Offered == 0 || client.Offered == 0 {
		return
	}
	const chance = 0.5 // points
	switch d := client.UsefulPercent - base.UsefulPercent; {
	case d >= chance:
		f.gainf("%.1f points more useful answers %s", d, when)
	case d <= -chance:
		f.costf("%.1f points fewer useful answers %s", -d, when)
	}
}

// load compares what the dependency had to bear.
func (f *finder) load() {
	const chance = 0.02
	base, client := f.base, f.client
	if base.Run.Arrivals > 0 {
		switch extra := extraLoad(client, base); {
		case extra >= 1.5:
			f.costf("%.2f times the load", extra)
		case extra >= 1+chance:
			f.costf("%.0f %% more load", 100*(extra-1))
		case extra <= 1-chance:
			f.gainf("%.0f %% less load", 100*(1-extra))
		}
	}
	const few = 10 // calls
	switch b, c := base.InFlightPeak, client.InFlightPeak; {
	case c > b+few && float64(c) > 1.1*float64(b):
		f.costf("%d calls in flight at worst instead of %d", c, b)
	case c < b-few && float64(c) < 0.9*float64(b):
		f.gainf("%d calls in flight at worst instead of %d", c, b)
	}
}

// extraLoad is arrivals / arrivals of the base.
func extraLoad(client, base *engine.Result) float64 {
	if base.Run.Arrivals == 0 {
		return 0
	}
	return float64(client.Run.Arrivals) / float64(base.Run.Arrivals)
}

// speed compares how soon answers and failures come.
func (f *finder) speed() {
	compare := func(what string, base, client float64) {
		const chance, factor = 2, 1.3 // ms
		switch {
		case client > base*factor && client > base+chance:
			f.costf("%s in %s instead of %s", what, millis(client), millis(base))
		case client < base/factor && client < base-chance:
			f.gainf("%s in %s instead of %s", what, millis(client), millis(base))
		}
	}
	base, client := f.base.Run, f.client.Run
	if base.FailureTime.Count > 0 && client.FailureTime.Count > 0 {
		compare("calls that fail do so", base.FailureTime.P50MS, client.FailureTime.P50MS)
	}
	// Of a client that answers few, those few may well be the quick ones.
	if base.UsefulTime.Count > 0 && float64(client.UsefulTime.Count) > 0.9*float64(base.UsefulTime.Count) {
		compare("99 % of useful answers come", base.UsefulTime.P99MS, client.UsefulTime.P99MS)
	}
}

// side names effects that only a client with layers has.
func (f *finder) side() {
	c := f.client
	if n := c.SlowMadeFailures; n > 0 {
		f.costf("the attempt timeout made failures of %d slow answers", n)
	}
	if n := c.Breaker.GoodRefused; n > 0 {
		text := fmt.Sprintf("%d good calls refused", n)
		if c.Breaker.TimeToCloseMS != nil {
			text += fmt.Sprintf(" until the breaker closed, %s after the fault", millis(*c.Breaker.TimeToCloseMS))
		}
		f.costf("%s", text)
	}
	if helped, wasted := c.Run.RetriesHelped, c.Run.RetriesWasted; helped+wasted > 0 {
		if helped > wasted {
			f.gainf("%d of %d retries helped", helped, helped+wasted)
		} else {
			f.costf("%d of %d retries were wasted", wasted, helped+wasted)
		}
	}
	if n := c.Duplicates - f.base.Duplicates; n > 0 {
		f.costf("%d writes took effect twice or more", n)
	}
	if n := c.EarlyRetries; n > 0 {
		f.costf("%d retries came before the server's Retry-After had passed", n)
	}
}

// percent shows a share, and never rounds up to 100 or down to 0.
func percent(v float64) string {
	switch {
	case v > 99.9 && v < 100:
		return fmt.Sprintf("%.2f %%", math.Floor(v*100)/100)
	case v > 0 && v < 0.1:
		return "<0.1 %"
	}
	return fmt.Sprintf("%.1f %%", v)
}

// millis shows a time given in milliseconds.
func millis(v float64) string {
	switch {
	case v <= 0:
		return "0 ms"
	case v < 0.1:
		return fmt.Sprintf("%.0f µs", v*1000)
	case v < 10:
		return fmt.Sprintf("%.1f ms", v)
	case v < 1000:
		return fmt.Sprintf("%.0f ms", v)
	case v < 100_000:
		return fmt.Sprintf("%.1f s", v/1000)
	}
	return fmt.Sprintf("%.0f s", v/1000)
}
