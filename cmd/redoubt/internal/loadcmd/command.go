package loadcmd

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/exit"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/engine"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/scenario"
)

// options are what the flags say.
type options struct {
	scenario string
	rates    rates
	duration positive
	seed     uint64
	clients  []string
	inject   bool

	targetFiles []string

	mine    bool
	maxRate rate

	reportFile string
	jsonFile   string
	hdrFile    string
	vegetaFile string
	markdown   bool
	checks     []string
	targets    bool
	shard      shard
	startAt    instant
	list       bool
	schema     bool
	quiet      bool

	url string
}

const long = `Drive load against a dependency that fails on schedule, with several clients
side by side, and show what each gained and cost.

Without arguments the dependency is a server inside of this process, the
scenario is two seconds of overload, and three clients meet it at the same time:
bare (http.Client alone), naive (retries everything) and redoubt (the default
stack). Twenty seconds later there is a summary, and a page with plots.

--scenario chooses another from the catalogue (--list), by its number, its name
or both; "all" for one after the other; or a YAML file: whatever has a "/" or
ends in .yaml or .yml. The same --seed gives the same faults.

--target takes the layers of the client redoubt from a file, whose form is that of
docs/stackfile.md. It must have no mistakes, see redoubt explain. What its layers
do is shown before the run. Several files are clients that bear their names.

With a URL the clients take turns at that server. It is taken as it is, unless
--inject puts the scenario's faults before it, at our end of the connection;
without, the fault windows of a YAML file say when it fails by itself. A server
that is not on this machine has to be yours, which --i-own-this-target says, and
more than --max-rate requests a second are refused.

Requests begin when the schedule says, however many are under way, and latency
counts from then. If this machine cannot keep up (p99 of the lag over 5 ms, or
requests that were not started), the summary begins with a warning.

--check demands that METRIC <= BOUND, or >=, holds for the last client, or for the
one that is named before it:
  useful@fault >= bare + 10        recovery <= 2s
  amplification <= 1.1             naive: recovery <= bare + 1s
Scopes are @run (the default), @fault and @after, the 5 s after a fault. Metrics:
  %s

While it runs a line on stderr says how it goes: repainted on a terminal,
key=value every two seconds otherwise. Ctrl-C ends the run with the summary, the
report and the JSON of what ran until then.

Exit codes:
  0        it ran, and all checks were met
  1        a check was missed, or a file could not be written
  2        the command line makes no sense; nothing was run
  128+N    signal N ended the run: 129, 130, 143`

const example = `  # What do retries do to an overloaded server, and what does Redoubt?
  redoubt load

  # Another scenario, faster and shorter, with the numbers for a machine:
  redoubt load --scenario rate-limit --rate 500 --duration 10s --json out.json

  # A gate for CI, and a table for the pull request:
  redoubt load --check 'useful@after >= bare - 5' --check 'recovery <= 2s' --markdown

  # Your own server, with faults put before it:
  redoubt load --scenario blips-20pct --inject http://localhost:8080/health

  # What do the layers of your own service do in that outage?
  redoubt load --target billing.yaml

  # Where does it collapse?
  redoubt load --rate 100,200,250,280`

// Command returns the command load.
func Command() *cobra.Command {
	o := &options{maxRate: 1000}
	cmd := &cobra.Command{
		Use:                   "load [flags] [URL]",
		Short:                 "Show what resilience gains and costs under load",
		Long:                  fmt.Sprintf(long, metrics()),
		Example:               example,
		DisableFlagsInUseLine: true,
		Args:                  cobra.MaximumNArgs(1),
		ValidArgsFunction:     cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				o.url = args[0]
			}
			switch {
			case o.list:
				return list(cmd.OutOrStdout())
			case o.schema:
				_, err := cmd.OutOrStdout().Write(engine.JSONSchema())
				return err
			}
			p, err := o.plan()
			if err != nil {
				return exit.With(exit.Usage, err)
			}
			r := &runner{options: o, plan: p, stdout: cmd.OutOrStdout(), stderr: cmd.ErrOrStderr()}
			return r.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.scenario, "scenario", "09", "what goes wrong: a `NAME` of the catalogue, all, or a YAML file")
	f.Var(&o.rates, "rate", "requests a second for each client; several, 100,200,400, are a sweep (default the scenario's)")
	f.Var(&o.duration, "duration", "how long it runs; fault windows stay where they are (default the scenario's)")
	f.Uint64Var(&o.seed, "seed", 1, "what the draws of faults and arrivals follow from")
	f.StringSliceVar(&o.clients, "clients", []string{"bare", "naive", "redoubt"}, "who calls, `NAMES`; the others are compared with the first")
	f.StringArrayVar(&o.targetFiles, "target", nil, "take the layers of the client redoubt from a stack `FILE`; several are compared")
	f.BoolVar(&o.inject, "inject", false, "put the scenario's faults before URL")
	f.BoolVar(&o.mine, "i-own-this-target", false, "URL may be on another machine")
	f.Var(&o.maxRate, "max-rate", "the highest rate for a URL")
	o.files(f, "redoubt-report.html")
	f.StringVar(&o.vegetaFile, "vegeta", "", "write every request to `FILE` as vegeta report, plot and encode read it")
	f.StringArrayVar(&o.checks, "check", nil, "exit with 1 unless `DEMAND` holds, such as 'recovery <= 2s'; repeatable")
	f.BoolVar(&o.targets, "targets", false, "check the scenario's own targets too")
	f.Var(&o.shard, "shard", "make every n-th request only, beginning with the i-th; see redoubt report merge")
	f.Var(&o.startAt, "start-at", "when to begin: the same for all shards, on clocks that agree")
	f.BoolVar(&o.list, "list", false, "list the scenarios of the catalogue")
	f.BoolVar(&o.schema, "schema", false, "print the JSON schema of what --json writes")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "say nothing while it runs")
	must(cmd.RegisterFlagCompletionFunc("scenario", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		names := []string{"all"}
		for _, s := range scenario.Catalogue() {
			names = append(names, s.Name+"\t"+s.Title)
		}
		return names, cobra.ShellCompDirectiveDefault
	}))
	must(cmd.RegisterFlagCompletionFunc("clients", cobra.FixedCompletions(clientNames(), cobra.ShellCompDirectiveNoFileComp)))
	return cmd
}

// files adds the flags for what is written. page is where the page goes unless
// told otherwise.
func (o *options) files(f *pflag.FlagSet, page string) {
	f.StringVar(&o.reportFile, "report", page, "write the page with plots to `FILE`; \"\" for none")
	f.StringVar(&o.jsonFile, "json", "", "write everything that was measured to `FILE`, a report a line")
	f.StringVar(&o.hdrFile, "hdr", "", "write the latencies of each client and second to `FILE`, an HdrHistogram log")
	f.BoolVar(&o.markdown, "markdown", false, "print a table for a pull request instead of the summary")
}

// must is for what fails only if a flag of ours has another name.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// metrics lists the metrics in lines that fit the help.
func metrics() string {
	var b strings.Builder
	column := 0
	for i, m := range engine.Metrics() {
		switch {
		case i == 0:
		case column > 60:
			b.WriteString(",\n  ")
			column = 0
		default:
			b.WriteString(", ")
		}
		n, _ := b.WriteString(m.Name)
		column += n + 2
	}
	return b.String()
}

// A plan is what the command line asks for.
type plan struct {
	scenarios []*scenario.Scenario // in order; one at several rates for a sweep
	clients   []engine.Client
	checks    []check
}

// A check is a demand on a client.
type check struct {
	client string
	check  engine.Check
}

// plan reads the command line. Its errors name flag, value and rule.
func (o *options) plan() (*plan, error) {
	p := new(plan)
	chosen, err := o.chosen()
	if err != nil {
		return nil, err
	}
	if p.clients, err = o.callers(); err != nil {
		return nil, err
	}
	for _, s := range chosen {
		rates := o.rates
		if len(rates) == 0 {
			rates = []float64{0}
		}
		for _, r := range rates {
			one, err := override(s, r, time.Duration(o.duration))
			if err != nil {
				return nil, err
			}
			if o.url != "" && !o.inject && !isFile(o.scenario) {
				if one, err = asItIs(one); err != nil {
					return nil, err
				}
			}
			p.scenarios = append(p.scenarios, one)
		}
	}
	if err := o.consent(p); err != nil {
		return nil, err
	}
	if err := o.demands(p); err != nil {
		return nil, err
	}
	if err := o.together(p); err != nil {
		return nil, err
	}
	return p, o.writable()
}

// together reports what does not go with being a shard.
func (o *options) together(p *plan) error {
	start := time.Time(o.startAt)
	switch {
	case o.shard.of > 1 && start.IsZero():
		return errors.New("--start-at is missing, must be the same time for all shards")
	case o.shard.of > 1 && len(p.scenarios) > 1:
		return fmt.Errorf("--shard is for one scenario at one rate, and there are %d runs", len(p.scenarios))
	case o.shard.of > 1 && o.url != "" && len(p.clients) > 1:
		return errors.New("--shard is for one of --clients if there is a URL, where they take turns")
	case !start.IsZero() && time.Until(start) < 0:
		return fmt.Errorf("--start-at is %s, must be in the future", start.Format(time.RFC3339))
	}
	return nil
}

// writable reports which file can't be written.
func (o *options) writable() error {
	for _, f := range []struct{ flag, file string }{
		{"report", o.reportFile}, {"json", o.jsonFile}, {"hdr", o.hdrFile}, {"vegeta", o.vegetaFile},
	} {
		if f.file == "" {
			continue
		}
		if info, err := os.Stat(filepath.Dir(f.file)); err != nil || !info.IsDir() {
			return fmt.Errorf("--%s is %q, must be in a directory that exists", f.flag, f.file)
		}
		if info, err := os.Stat(f.file); err == nil && info.IsDir() {
			return fmt.Errorf("--%s is %q, must not be a directory", f.flag, f.file)
		}
	}
	return nil
}

// chosen returns the scenarios that --scenario names.
func (o *options) chosen() ([]*scenario.Scenario, error) {
	name := o.scenario
	switch {
	case name == "all":
		return scenario.Catalogue(), nil
	case isFile(name):
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("--scenario is %q, must be a file that can be read: %w", name, err)
		}
		s, err := scenario.Parse(name, text)
		if err != nil {
			return nil, fmt.Errorf("--scenario: %w", err)
		}
		return []*scenario.Scenario{s}, nil
	}
	s, err := scenario.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("--scenario is %q, must be a YAML file, all, or a name of the catalogue; see redoubt load --list", name)
	}
	return []*scenario.Scenario{s}, nil
}

// isFile reports whether --scenario is a file.
func isFile(name string) bool {
	return strings.ContainsAny(name, "/\\") || strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml")
}

// known are the clients to choose from.
var known = []func() engine.Client{engine.Bare, engine.Naive, engine.Default}

func clientNames() []string {
	var names []string
	for _, c := range known {
		names = append(names, c().Name)
	}
	return names
}

// callers returns the clients that --clients names.
func (o *options) callers() ([]engine.Client, error) {
	var chosen []engine.Client
	seen := make(map[string]bool)
	for _, name := range o.clients {
		found := false
		for _, client := range known {
			if c := client(); c.Name == name {
				found = true
				chosen = append(chosen, c)
			}
		}
		if !found || seen[name] {
			return nil, fmt.Errorf("--clients has %q, must be some of %s, each once", name, strings.Join(clientNames(), ", "))
		}
		seen[name] = true
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("--clients is empty, must be some of %s", strings.Join(clientNames(), ", "))
	}
	return o.aim(chosen)
}

// consent reports what must not be done to a URL.
func (o *options) consent(p *plan) error {
	if o.url == "" {
		switch {
		case o.inject:
			return errors.New("--inject is for a URL, and there is none; the embedded dependency has its faults")
		case o.mine:
			return errors.New("--i-own-this-target is for a URL, and there is none")
		}
		return nil
	}
	if _, err := engine.Remote(o.url, p.scenarios[0], o.seed, o.inject); err != nil {
		return fmt.Errorf("URL is %q, must begin with http:// or https:// and a host", o.url)
	}
	if o.scenario == "all" && !o.inject {
		return errors.New("--scenario is all, must be one for a URL without --inject: only its load counts")
	}
	u, err := url.Parse(o.url)
	if err != nil {
		return fmt.Errorf("URL: %w", err)
	}
	if !o.mine && !loopback(u.Hostname()) {
		return fmt.Errorf("URL is %q, must be on this machine (localhost, 127.0.0.1, ::1), or else yours: --i-own-this-target", o.url)
	}
	for _, s := range p.scenarios {
		highest := s.Rate
		for _, b := range s.Bursts {
			highest = max(highest, b.Rate)
		}
		if highest > float64(o.maxRate) {
			return fmt.Errorf("the rate is %v/s, must be at most --max-rate, %v/s", highest, float64(o.maxRate))
		}
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// demands reads the checks, and sees that they can be judged at all.
func (o *options) demands(p *plan) error {
	for _, text := range o.checks {
		client, rest, named := strings.Cut(text, ":")
		client = strings.TrimSpace(client)
		if !named {
			client, rest = p.clients[len(p.clients)-1].Name, text
		}
		c, err := engine.ParseCheck(rest)
		if err != nil {
			return fmt.Errorf("--check: %w", err)
		}
		p.checks = append(p.checks, check{client, c})
	}
	for _, s := range p.scenarios {
		blank := engine.NewReport(s, o.seed, true, time.Time{})
		for _, c := range p.clients {
			result := &engine.Result{Client: c.Name, Parameters: c.Parameters, Run: new(engine.Summary), Fault: new(engine.Summary)}
			if len(s.Windows) > 0 {
				result.After = new(engine.Summary)
			}
			blank.Clients = append(blank.Clients, result)
		}
		for _, c := range p.checks {
			if v := c.check.Judge(blank, c.client); v.Problem != "" {
				return fmt.Errorf("--check is %q for %s, must fit clients and scenario: %s", c.check, c.client, v.Problem)
			}
		}
	}
	return nil
}
