package loadcmd

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/exit"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/engine"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/front"
)

const serveLong = `Stand in front of a dependency as a reverse proxy: with Redoubt's layers at --listen,
without them at --bare. Whatever makes load drives either or both: k6, vegeta,
Locust, or a whole cluster of them. It sees answers; the front knows what they
cost, and tells it at --admin:

  GET  /report.json   attempts, arrivals, amplification, breaker, latency, by side:
                      as redoubt load --json writes it (redoubt load --schema)
  GET  /report.html   the same as a page with plots
  POST /reset         begin the record anew
  GET  /ops/          circuits and budgets live, to be forced from this machine
  GET  /healthz       200 while it serves

A request that the layers end by themselves is answered 503 with Retry-After if
the circuit is open, 504 if its time is up, and 502 otherwise; the header
Redoubt-Outcome has the reason. Bodies of up to 64 KiB are kept to be sent again
if the method or an Idempotency-Key allows it. Traces and metrics go where
OTEL_EXPORTER_OTLP_ENDPOINT says.

Latency counts from the arrival at the front. Only an engine with an open loop,
such as k6's constant-arrival-rate, shows what a slow dependency does.

It listens on this machine alone, unless --expose lets it listen elsewhere: it
has no authentication. SIGTERM and Ctrl-C let requests that are under way end,
print the summary, write the files and exit with 0.

k6-operator: run the front as a Deployment with a Service of ports 8080 to 8082,

  redoubt serve --expose --listen :8080 --bare :8081 --admin :8082 \
    --upstream http://dependency.test.svc

point the script's constant-arrival-rate scenarios at http://front:8080 and
http://front:8081, let setup() POST http://front:8082/reset and teardown() keep
http://front:8082/report.json, and start it on several nodes by

  apiVersion: k6.io/v1alpha1
  kind: TestRun
  metadata: {name: redoubt}
  spec: {parallelism: 4, script: {configMap: {name: script, file: test.js}}}

As a sidecar of each runner instead, every front has a breaker and a budget of its
own, as the replicas of a service have.

Exit codes:
  0   it was asked to end, and did
  1   it could not listen, requests did not end in time, or a file was not written
  2   the command line makes no sense`

// A server is what redoubt serve runs.
type server struct {
	options

	upstream             string
	listen, bare, admin  string
	expose               bool
	limit, attempt, late positive
	drain                positive
}

// ServeCommand returns the command serve.
func ServeCommand() *cobra.Command {
	s := &server{
		limit:   positive(engine.DefaultLimit),
		attempt: positive(engine.DefaultAttemptTimeout),
		late:    positive(time.Second),
		drain:   positive(10 * time.Second),
	}
	cmd := &cobra.Command{
		Use:   "serve [flags] --upstream URL",
		Short: "Stand in front of a dependency, with and without the layers, for any load generator",
		Long:  serveLong,
		Example: `  # Before a server on this machine, to be driven by vegeta:
  redoubt serve --upstream http://localhost:9000 &
  echo 'GET http://127.0.0.1:8080/' | vegeta attack -rate 200 -duration 20s -max-workers 10000 | vegeta report
  curl -s http://127.0.0.1:8082/report.json | jq '.clients[] | {client, a: .run.amplification}'`,
		DisableFlagsInUseLine: true,
		Args:                  cobra.NoArgs,
		ValidArgsFunction:     cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			upstream, err := s.check()
			if err != nil {
				return exit.With(exit.Usage, err)
			}
			r := &runner{options: &s.options, stdout: cmd.OutOrStdout(), stderr: cmd.ErrOrStderr()}
			return s.run(cmd.Context(), upstream, r)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&s.upstream, "upstream", "", "the dependency's `URL`; its path is put in front of those of requests")
	f.StringVar(&s.listen, "listen", "127.0.0.1:8080", "`ADDRESS` of the side with the layers")
	f.StringVar(&s.bare, "bare", "127.0.0.1:8081", "`ADDRESS` of the side without")
	f.StringVar(&s.admin, "admin", "127.0.0.1:8082", "`ADDRESS` of what the front knows")
	f.BoolVar(&s.expose, "expose", false, "listen where others than this machine can reach it")
	f.Var(&s.limit, "limit", "how long a call may take with all its attempts, to its headers")
	f.Var(&s.attempt, "attempt-timeout", "how long an attempt may take, to its headers")
	f.Var(&s.late, "useful-within", "how soon an answer has to be there to be useful")
	f.Var(&s.drain, "drain", "how long requests may take to end when the front is asked to")
	s.files(f, "")
	return cmd
}

// check reports what makes no sense, by flag, value and rule.
func (s *server) check() (*url.URL, error) {
	upstream, err := url.Parse(s.upstream)
	if err != nil || upstream.Host == "" || upstream.Scheme != "http" && upstream.Scheme != "https" {
		return nil, fmt.Errorf("--upstream is %q, must begin with http:// or https:// and a host", s.upstream)
	}
	for _, one := range s.ports() {
		host, _, err := net.SplitHostPort(one.address)
		if err != nil {
			return nil, fmt.Errorf("--%s is %q, must be HOST:PORT", one.flag, one.address)
		}
		if !s.expose && !loopback(host) {
			return nil, fmt.Errorf("--%s is %q, must be on this machine (localhost, 127.0.0.1, ::1) unless --expose is given", one.flag, one.address)
		}
	}
	if s.attempt > s.limit {
		return nil, fmt.Errorf("--attempt-timeout is %v, must be at most --limit, %v", time.Duration(s.attempt), time.Duration(s.limit))
	}
	return upstream, s.writable()
}

// A port is one that the front listens at.
type port struct {
	flag, address, name, path string
	of                        func(*front.Front) http.Handler
}

func (s *server) ports() []port {
	return []port{
		{"listen", s.listen, "guarded", "/", (*front.Front).Guarded},
		{"bare", s.bare, "bare", "/", (*front.Front).Bare},
		{"admin", s.admin, "report", "/report.json", (*front.Front).Admin},
	}
}

// run serves until ctx ends.
func (s *server) run(ctx context.Context, upstream *url.URL, r *runner) error {
	f, err := front.New(front.Config{
		Upstream:       upstream,
		Limit:          time.Duration(s.limit),
		AttemptTimeout: time.Duration(s.attempt),
		UsefulWithin:   time.Duration(s.late),
		Histograms:     s.hdrFile != "",
	})
	if err != nil {
		return err
	}
	defer f.Close()
	logger := log.New(r.stderr, "redoubt: ", 0)
	servers := make([]*http.Server, 0, len(s.ports()))
	defer func() {
		for _, server := range servers {
			_ = server.Close()
		}
	}()
	ended := make(chan error, len(s.ports()))
	where := []string{"upstream=" + upstream.Redacted()}
	for _, p := range s.ports() {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", p.address)
		if err != nil {
			return fmt.Errorf("--%s: %w", p.flag, err)
		}
		server := &http.Server{Handler: p.of(f), ReadHeaderTimeout: 10 * time.Second, ErrorLog: logger}
		servers = append(servers, server)
		go func() { ended <- server.Serve(listener) }()
		where = append(where, fmt.Sprintf("%s=http://%s%s", p.name, listener.Addr(), p.path))
	}
	if _, err := fmt.Fprintln(r.stderr, strings.Join(where, " ")); err != nil {
		return err
	}
	select {
	case err := <-ended: // the listener failed: nobody has shut it down
		return err
	case <-ctx.Done():
	}
	err = s.stop(ctx, servers)
	result := f.Report()
	r.reports = append(r.reports, result)
	return errors.Join(err, r.show(result), r.write())
}

// stop ends the servers, those that pass requests on first, and waits until all
// requests have ended.
func (s *server) stop(ctx context.Context, servers []*http.Server) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Duration(s.drain))
	defer cancel()
	var errs []error
	for _, server := range servers {
		if err := server.Shutdown(ctx); err != nil {
			errs = append(errs, fmt.Errorf("requests were still under way after --drain, %v", time.Duration(s.drain)))
			break
		}
	}
	return errors.Join(errs...)
}
