package engine

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// WriteHDR writes the latencies of the reports as a log of HDR histograms, in the
// format of HdrHistogram's own log readers: for each client and each interval of
// time the requests that were due in it, with the client's name as the tag, and
// those that failed once more, with the tag CLIENT.failed. Intervals in which
// nothing ended are left out. If there are several reports, tags begin with the
// scenario's name and the rate, "09-overload-trigger@200/bare".
//
// Values are microseconds, with two significant digits, from the intended start.
// Maxima are milliseconds, so that tools need an outputValueUnitRatio of 1000.
// All times count from the beginning of the first report.
//
// The reports must have been made with Config.Histograms, or be those of shards.
func WriteHDR(w io.Writer, reports ...*Report) error {
	b := bufio.NewWriter(w)
	var base time.Time
	if len(reports) > 0 {
		base = reports[0].Started
	}
	epoch := float64(base.UnixMilli()) / 1000
	fmt.Fprintf(b, "#[%s. Values are microseconds: use an outputValueUnitRatio of 1000]\n", Schema)
	fmt.Fprintf(b, "#[Histogram log format version 1.3]\n")
	fmt.Fprintf(b, "#[StartTime: %.3f (seconds since epoch), %s]\n", epoch, base.UTC().Format(time.RFC3339))
	fmt.Fprintf(b, "#[BaseTime: %.3f (seconds since epoch)]\n", epoch)
	fmt.Fprintln(b, `"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"`)
	for _, r := range reports {
		prefix := ""
		if len(reports) > 1 {
			prefix = fmt.Sprintf("%s@%g/", r.Scenario.Name, r.Scenario.Rate)
		}
		if err := r.writeHDR(b, prefix, r.Started.Sub(base)); err != nil {
			return err
		}
	}
	return b.Flush()
}

// writeHDR writes the intervals of one report, in the order of time.
func (r *Report) writeHDR(w io.Writer, prefix string, since time.Duration) error {
	longest := 0
	for _, c := range r.Clients {
		if len(c.Latencies.All) < len(c.Latencies.P50) {
			return errors.New("engine: HDR log: the report has no histograms of its intervals")
		}
		longest = max(longest, len(c.Latencies.All))
	}
	for i := range longest {
		for _, c := range r.Clients {
			for _, one := range []struct {
				tag string
				of  []string
			}{{c.Client, c.Latencies.All}, {c.Client + ".failed", c.Latencies.Failures}} {
				if i >= len(one.of) {
					continue
				}
				from := since.Seconds() + float64(i)*c.Latencies.CellMS/1000
				length := min(c.Latencies.CellMS, r.Scenario.DurationMS-float64(i)*c.Latencies.CellMS) / 1000
				if err := writeInterval(w, tag(prefix+one.tag), from, length, one.of[i]); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// tag returns a name without what a tag must not have.
func tag(name string) string {
	return strings.NewReplacer(",", "_", " ", "_", "\n", "_", "\r", "_").Replace(name)
}

func writeInterval(w io.Writer, tag string, from, length float64, encoded string) error {
	h, err := decodeHistogram(encoded)
	if err != nil || h.TotalCount() == 0 {
		return err
	}
	_, err = fmt.Fprintf(w, "Tag=%s,%.3f,%.3f,%.3f,%s\n", tag, from, length, float64(h.Max())/1000, encoded)
	return err
}
