package behaviours

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redoubt-go/redoubt/redoubttest"
)

var update = flag.Bool("update", false, "write the table anew, here and in the README")

// A probe is one behaviour and how to find out whether a library has it.
type probe struct {
	number    string
	behaviour string
	run       func(*trial) error // nil is a yes, an error a no

	needs feature // without it the library is not asked
	alone bool    // it measures what other probes would disturb
	racy  bool    // libraries that fail it do so by a data race
}

var probes = slices.Concat(
	sendingProbes, requestBodyProbes, responseProbes, limitProbes, waitProbes, tlsProbes, breakerProbes, spanProbes)

// The verdicts.
const (
	yes  = "yes"
	no   = "no"
	none = "–" // the library has no such feature
)

// tries is how many times another library may be asked for the verdict in the
// table, since the machine may be at fault if it is not the first one. Redoubt
// is asked once.
const tries = 3

// atOnce is how many probes run at a time: most of their time they wait.
const atOnce = 16

func TestTable(t *testing.T) {
	committed := readFile(t, "table.md")
	cells := parse(committed)
	results := make(map[string]string)
	var (
		mu      sync.Mutex
		running sync.WaitGroup
		tickets = make(chan struct{}, atOnce)
	)
	for _, p := range slices.Concat(only(true), only(false)) {
		for _, lib := range libraries {
			key := p.number + " " + lib.name
			one := func(t *testing.T) {
				t.Helper()
				v := verdict(t, p, lib, cells[key])
				if lib.name == "redoubt" && v != yes {
					t.Errorf("Redoubt: %s", v)
				} else if v != cells[key] && !*update {
					t.Errorf("%s, but the table says %q", v, cells[key])
				}
				mu.Lock()
				defer mu.Unlock()
				results[key] = v
			}
			if p.alone {
				t.Run(key, one)
				continue
			}
			running.Go(func() {
				tickets <- struct{}{}
				defer func() { <-tickets }()
				t.Run(key, one)
			})
		}
	}
	running.Wait()
	if len(results) < len(probes)*len(libraries) {
		return // some were not asked for
	}
	table := render(t, results)
	if *update {
		replace(t, "../../README.md", committed, table)
		replace(t, "table.md", committed, table)
	} else if table != committed {
		t.Errorf("table.md is out of date; run go test ./behaviours -update")
	}
}

func TestReadmeHasTheTable(t *testing.T) {
	if !strings.Contains(readFile(t, "../../README.md"), "\n"+readFile(t, "table.md")) {
		t.Error("README.md does not have the table of table.md; run go test ./behaviours -update")
	}
}

// only returns the probes that run alone, or the others.
func only(alone bool) []probe {
	return slices.DeleteFunc(slices.Clone(probes), func(p probe) bool { return p.alone != alone })
}

// verdict asks lib, if need be several times, for what was committed. For a new
// table it takes one no for a no.
func verdict(t *testing.T, p probe, lib library, committed string) string {
	t.Helper()
	if lib.has&p.needs != p.needs {
		return none
	}
	ours := lib.name == "redoubt"
	if p.racy && !ours && raceDetector() {
		t.Log("not asked: the race detector would end the test")
		return committed
	}
	if *update {
		committed = no
	}
	v := ""
	for try := 0; try == 0 || try < tries && v != committed && !ours; try++ {
		v = yes
		if err := ask(t, p, lib); err != nil {
			t.Logf("no: %v", err)
			v = no
		}
	}
	return v
}

// raceDetector reports whether this program was built with it.
func raceDetector() bool {
	info, _ := debug.ReadBuildInfo()
	return slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// render returns the table of these results.
func render(t *testing.T, results map[string]string) string {
	t.Helper()
	var b strings.Builder
	modules := strings.Fields(readFile(t, "../go.mod"))
	b.WriteString("| | |")
	for _, lib := range libraries {
		b.WriteString(" " + lib.name)
		if i := slices.Index(modules, lib.module); i >= 0 {
			b.WriteString(" " + modules[i+1])
		}
		b.WriteString(" |")
	}
	b.WriteString("\n|---|---|" + strings.Repeat(":-:|", len(libraries)) + "\n")
	for _, p := range probes {
		fmt.Fprintf(&b, "| %s | %s |", p.number, p.behaviour)
		for _, lib := range libraries {
			fmt.Fprintf(&b, " %s |", results[p.number+" "+lib.name])
		}
		b.WriteString("\n")
	}
	return b.String()
}

// parse returns the verdicts of a table.
func parse(table string) map[string]string {
	results := make(map[string]string)
	for line := range strings.Lines(table) {
		row := strings.Split(line, " | ")
		if len(row) != len(libraries)+2 {
			continue
		}
		for i, lib := range libraries {
			results[strings.Trim(row[0], "| ")+" "+lib.name] = strings.Trim(row[i+2], "| \n")
		}
	}
	return results
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// replace puts the new table where the file has the old one.
func replace(t *testing.T, name, old, table string) {
	t.Helper()
	before, after, found := strings.Cut(readFile(t, name), old)
	if old == "" || !found {
		t.Fatalf("%s does not have the table of table.md", name)
	}
	if err := os.WriteFile(name, []byte(before+table+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// patience is how long a library may hang before that is a no.
const patience = 10 * time.Second

// ask runs the probe.
func ask(t *testing.T, p probe, lib library) error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context()) // not a deadline, to which libraries may react
	defer cancel()
	defer time.AfterFunc(patience, cancel).Stop()
	x := &trial{Context: ctx, library: lib}
	defer x.end()
	return p.run(x)
}

// A trial is one run of a probe against a library, and the context for it,
// which ends when patience does.
type trial struct {
	context.Context

	library library
	servers []*server
}

func (x *trial) end() {
	for _, s := range x.servers {
		s.close()
	}
}

// client returns a client of the library, with three attempts and a short wait
// between them unless s says otherwise.
func (x *trial) client(s settings) client {
	if s.attempts == 0 {
		s.attempts = 3
	}
	if s.wait == 0 {
		s.wait = 10 * time.Millisecond
	}
	return x.library.client(s)
}

// A server is a server on loopback and the base of clients that connect to it.
type server struct {
	*httptest.Server

	base     *http.Transport
	conns    redoubttest.Conns // as the server sees them
	requests atomic.Int32
}

// serve returns a server whose handler is told the number of each request,
// from 1.
func (x *trial) serve(handler func(w http.ResponseWriter, r *http.Request, n int)) *server {
	s := x.prepare(handler)
	s.Start()
	return s
}

func (x *trial) prepare(handler func(w http.ResponseWriter, r *http.Request, n int)) *server {
	s := &server{base: &http.Transport{}}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler(w, r, int(s.requests.Add(1)))
	}))
	s.Config.ConnState = s.conns.ConnState
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	x.servers = append(x.servers, s)
	return s
}

func (s *server) close() {
	s.base.CloseIdleConnections()
	s.CloseClientConnections()
	s.Close()
}

// statuses returns a handler that answers with these, the last for ever.
func statuses(codes ...int) func(http.ResponseWriter, *http.Request, int) {
	return func(w http.ResponseWriter, r *http.Request, n int) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(codes[min(n, len(codes))-1])
	}
}

// hang is what a handler does that never answers.
func hang(r *http.Request) { <-r.Context().Done() }

// reset ends the connection of a request that was read, without an answer.
func reset(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	conn, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		_ = conn.Close()
	}
}

// request returns a request to the server.
func (s *server) request(ctx context.Context, method string, body io.Reader, header ...string) *http.Request {
	req, err := http.NewRequestWithContext(ctx, method, s.URL, body)
	if err != nil {
		panic(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return req
}

// wants returns an error unless a request led to this status, after so many
// requests, with the body readable.
func (s *server) wants(status, requests int, resp *http.Response, err error) error {
	if err != nil {
		finish(resp)
		return fmt.Errorf("%w after %d requests, want status %d after %d", err, s.requests.Load(), status, requests)
	}
	if err := finish(resp); err != nil {
		return fmt.Errorf("body: %w", err)
	}
	if resp.StatusCode != status || int(s.requests.Load()) != requests {
		return fmt.Errorf("status %d after %d requests, want %d after %d", resp.StatusCode, s.requests.Load(), status, requests)
	}
	return nil
}

// wantsOnce returns an error unless there was one request, whatever came of it.
func (s *server) wantsOnce(resp *http.Response, err error) error {
	finish(resp)
	if n := s.requests.Load(); n != 1 {
		return fmt.Errorf("sent %d times (%v)", n, err)
	}
	return nil
}

// finish reads and closes the body of a response, if there is one.
func finish(resp *http.Response) error {
	if resp == nil {
		return nil
	}
	_, err := io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return err
}

// soon returns an error if it is more than two seconds since start.
func soon(start time.Time) error {
	if took := time.Since(start); took > 2*time.Second {
		return fmt.Errorf("it took %v", took)
	}
	return nil
}

// payload returns n bytes of which no two parts are alike.
func payload(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{}).Read(b)
	return b
}
