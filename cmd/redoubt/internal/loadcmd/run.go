package loadcmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/exit"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/engine"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/report"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/scenario"
)

// A runner does what a plan says.
type runner struct {
	*options

	plan           *plan
	stdout, stderr io.Writer
	reports        []*engine.Report
	samples        *engine.VegetaLog // nil if nobody asked for them
}

// run runs the scenarios, shows each as it ends, and writes the files. An
// interrupt ends the run, and loses nothing of what ran.
func (r *runner) run(ctx context.Context) error {
	if err := r.reachable(ctx); err != nil {
		return err
	}
	r.explain()
	var errs []error
	finish := func() error { return nil }
	if r.vegetaFile != "" {
		f, err := create(r.vegetaFile)
		if err != nil {
			return err
		}
		r.samples = engine.NewVegetaLog(f)
		finish = func() error { return f.finish(r.samples.Flush()) }
	}
	for _, s := range r.plan.scenarios {
		if ctx.Err() != nil {
			break
		}
		if err := r.one(ctx, s); err != nil {
			errs = append(errs, err)
			break
		}
	}
	errs = append(errs, finish(), r.write(), r.verdicts())
	if ctx.Err() != nil {
		return errors.Join(append([]error{context.Cause(ctx)}, errs...)...)
	}
	return errors.Join(errs...)
}

// explain shows what the layers from files do.
func (r *runner) explain() {
	if r.quiet {
		return
	}
	for _, c := range r.plan.clients {
		if c.Explanation != "" {
			fmt.Fprintf(r.stderr, "%s: %s\n%s\n", c.Name, c.About, c.Explanation)
		}
	}
}

// patience is how long a server may take to be reached before the run.
const patience = 5 * time.Second

// reachable reports why the URL can't be reached.
func (r *runner) reachable(ctx context.Context) error {
	if r.url == "" {
		return nil
	}
	u, err := url.Parse(r.url)
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	port := u.Port()
	if port == "" {
		port = u.Scheme
	}
	conn, err := (&net.Dialer{Timeout: patience}).DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return fmt.Errorf("%s can't be reached, nothing was run: %w", u.Redacted(), err)
	}
	return conn.Close()
}

// crowd is how many requests a second the clients may make between them at the
// same time; above it they take turns.
const crowd = 3000

// one runs a scenario and shows what came of it.
func (r *runner) one(ctx context.Context, s *scenario.Scenario) error {
	comparison := engine.Comparison{
		Scenario:   s,
		Seed:       r.seed,
		Clients:    r.plan.clients,
		Begin:      time.Time(r.startAt),
		Shard:      max(r.shard.number-1, 0),
		Shards:     r.shard.of,
		Histograms: r.hdrFile != "",
		OneByOne:   r.url != "" || s.Rate*float64(len(r.plan.clients)) > crowd,
		Dependency: func() (engine.Dependency, error) {
			if r.url != "" {
				return engine.Remote(r.url, s, r.seed, r.inject)
			}
			return engine.Loopback(s, r.seed)
		},
	}
	if r.samples != nil {
		if len(r.plan.scenarios) > 1 {
			r.samples.Prefix = fmt.Sprintf("%s@%g/", s.Name, s.Rate)
		}
		comparison.Sample = r.samples.Add
	}
	end := func() {}
	if !r.quiet {
		st := newStatus(r.stderr, s.Name, s.Duration, r.plan.clients)
		comparison.Progress, end = st.tell, st.close
	}
	result, err := engine.Compare(ctx, comparison)
	end()
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		interrupted(result, s)
	}
	for _, c := range r.plan.checks {
		result.Judge(c.client, c.check)
	}
	if r.targets {
		targets, err := engine.Targets(s)
		if err != nil {
			return exit.With(exit.Usage, err)
		}
		result.Judge(r.plan.clients[len(r.plan.clients)-1].Name, targets...)
	}
	r.reports = append(r.reports, result)
	return r.show(result)
}

// interrupted makes a report say that it is of a part of the run. A client that
// had not recovered may have done so later.
func interrupted(result *engine.Report, s *scenario.Scenario) {
	var ran time.Duration
	for _, c := range result.Clients {
		cell := time.Duration(c.Cells.CellMS * float64(time.Millisecond))
		for i, n := range c.Cells.Offered {
			if n > 0 {
				ran = max(ran, time.Duration(i+1)*cell)
			}
		}
		c.Recovered = true
	}
	result.Warnings = append([]string{fmt.Sprintf("interrupted after %v of %v: the numbers are of that time", ran, s.Duration)}, result.Warnings...)
}

// show prints the summary of a report.
func (r *runner) show(result *engine.Report) error {
	if len(r.reports) > 1 {
		if _, err := fmt.Fprintln(r.stdout); err != nil {
			return err
		}
	}
	if r.markdown {
		return report.Markdown(r.stdout, result)
	}
	return report.Terminal(r.stdout, result)
}

// write writes the files; what goes wrong with one does not keep it from the
// other.
func (r *runner) write() error {
	if len(r.reports) == 0 {
		return nil
	}
	var errs []error
	if r.jsonFile != "" {
		errs = append(errs, save(r.jsonFile, func(w io.Writer) error {
			encoder := json.NewEncoder(w)
			for _, result := range r.reports {
				if err := encoder.Encode(result); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	if r.hdrFile != "" {
		errs = append(errs, save(r.hdrFile, func(w io.Writer) error { return engine.WriteHDR(w, r.reports...) }))
	}
	if r.reportFile != "" {
		err := save(r.reportFile, func(w io.Writer) error { return report.HTML(w, r.reports...) })
		if err == nil && !r.markdown {
			_, err = fmt.Fprintf(r.stdout, "plots: %s\n", r.reportFile)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// save writes a file so that there is either all of it or what was there before.
// What is no regular file, such as /dev/stdout, is written to.
func save(name string, write func(io.Writer) error) error {
	f, err := create(name)
	if err != nil {
		return err
	}
	return f.finish(write(f))
}

// An output is a file that is being written.
type output struct {
	*os.File

	name   string
	rename bool
}

func create(name string) (*output, error) {
	o := &output{name: name}
	file := name
	if info, err := os.Stat(name); err != nil || info.Mode().IsRegular() {
		file, o.rename = name+".tmp", true
	}
	var err error
	o.File, err = os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	return o, err
}

// finish ends the writing, of which err came, and gives the file its name.
func (o *output) finish(err error) error {
	err = errors.Join(err, o.Close())
	switch {
	case err != nil && o.rename:
		_ = os.Remove(o.Name())
	case o.rename:
		err = os.Rename(o.Name(), o.name)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", o.name, err)
	}
	return nil
}

// verdicts returns an error that names the checks that were missed.
func (r *runner) verdicts() error {
	var missed []string
	for _, result := range r.reports {
		for _, v := range result.Checks {
			if !v.OK {
				missed = append(missed, result.Scenario.Name+": "+report.Verdict(v))
			}
		}
	}
	if len(missed) == 0 {
		return nil
	}
	return exit.With(exit.Failure, errors.New("check "+strings.Join(missed, "\n         check ")))
}
