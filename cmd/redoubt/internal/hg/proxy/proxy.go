// Package proxy puts our own transport under every HTTP request of hg.
//
// hg has no timeout on https, retries nothing, and knows no breaker. So it is
// told to pull from a server on the loopback, this one, which asks the mirror in
// its place. What fails before the first byte of an answer is retried here and
// hg never notices; what fails later is passed on as a connection that breaks
// off, upon which hg rolls back. Credentials are added here, too, so that hg
// never has them.
package proxy

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/classify"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/mirror"
)

// A Proxy serves one mirror to one hg. Make one with Start.
type Proxy struct {
	mirror *mirror.Mirror
	server *http.Server
	url    string
	able   string
	bytes  atomic.Int64
	served sync.WaitGroup

	mu      sync.Mutex
	failure error
}

// commands are those of the protocol that read. Nothing of ours writes, and
// whoever guesses the token shall not either.
var commands = []string{
	"batch", "between", "branches", "branchmap", "capabilities", "changegroup", "changegroupsubset",
	"clonebundles", "clonebundles_manifest", "getbundle", "heads", "hello", "known", "listkeys", "lookup",
	"stream_out", "protocaps",
}

// Start serves m on a port of the loopback until Close is called. The path holds
// a secret, so that other users of the machine can't use our credentials. able
// are the capabilities of the mirror if they are known: hg asks for them first,
// and need not wait for what was said a moment ago.
func Start(ctx context.Context, m *mirror.Mirror, able []string) (*Proxy, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	token := crand.Text()
	p := &Proxy{mirror: m, able: strings.Join(able, " "), url: "http://" + listener.Addr().String() + "/" + token}
	mux := http.NewServeMux()
	mux.HandleFunc("/"+token, p.serve)
	mux.HandleFunc("/"+token+"/{$}", p.serve)
	p.server = &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 30 * time.Second,
		MaxHeaderBytes:    8 << 20, // hg sends hashes in headers, many of them
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	p.served.Go(func() { _ = p.server.Serve(listener) })
	return p, nil
}

// URL returns what hg is to pull from. It holds the secret, and is of no use
// after Close.
func (p *Proxy) URL() string { return p.url }

// Bytes returns how much of the mirror's answers has passed.
func (p *Proxy) Bytes() int64 { return p.bytes.Load() }

// Failure returns the last failure that hg was told of, and forgets it. It is
// what hg's own message only hints at.
func (p *Proxy) Failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.failure
	p.failure = nil
	return err
}

// Close ends all requests and frees the port.
func (p *Proxy) Close() {
	_ = p.server.Close()
	p.served.Wait()
}

func (p *Proxy) failed(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failure = err
}

// A StatusError is an answer of the mirror that says no.
type StatusError struct {
	Command string
	Verdict classify.Verdict
}

// Error names the command and the status.
func (e *StatusError) Error() string { return e.Command + ": " + e.Verdict.Message }

// Retryable reports whether the mirror may answer otherwise later.
func (e *StatusError) Retryable() bool { return e.Verdict.Reaction.Again() }

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	command := r.URL.Query().Get("cmd")
	if !slices.Contains(commands, command) || r.Method != http.MethodGet && r.Method != http.MethodPost {
		http.Error(w, "only commands that read are passed on", http.StatusForbidden)
		return
	}
	if command == "capabilities" && p.able != "" {
		w.Header().Set("Content-Type", "application/mercurial-0.1")
		_, _ = io.WriteString(w, p.able)
		return
	}
	resp, err := p.mirror.Do(p.outgoing(r), command)
	if err != nil {
		p.failed(err)
		http.Error(w, "the mirror does not answer", http.StatusBadGateway)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode >= http.StatusBadRequest {
		p.failed(&StatusError{Command: command, Verdict: classify.Status(resp.StatusCode)})
	}
	header := w.Header()
	for key, values := range resp.Header {
		if !hopByHop(key) {
			header[key] = values
		}
	}
	w.WriteHeader(resp.StatusCode)
	p.pass(w, resp.Body)
}

// pass copies an answer to hg. If it breaks off, so does the connection.
func (p *Proxy) pass(w http.ResponseWriter, body io.Reader) {
	answer := &counted{Reader: body, total: &p.bytes}
	_, err := io.Copy(w, answer)
	if err == nil {
		return
	}
	if answer.err != nil { // else it was hg that went away
		p.failed(answer.err)
	}
	panic(http.ErrAbortHandler)
}

// outgoing is hg's request as the mirror is to see it.
func (p *Proxy) outgoing(r *http.Request) *http.Request {
	ctx := r.Context()
	u := p.mirror.Source().URL()
	u.RawQuery = wellFormed(r.URL.RawQuery)
	out := &http.Request{
		Method: r.Method, URL: u, Host: u.Host,
		Header: make(http.Header, len(r.Header)), Body: http.NoBody,
	}
	for key, values := range r.Header {
		if !hopByHop(key) && key != "Authorization" && key != "Cookie" {
			out.Header[key] = values
		}
	}
	if r.Method == http.MethodPost {
		ctx = redoubt.WithIdempotent(ctx) // arguments of a command that reads
		withBody(out, r)
	}
	return out.WithContext(ctx)
}

// maxArguments bounds the arguments that hg sends as the body of a request.
const maxArguments = 64 << 20

// withBody gives out the body of r, in memory, so that it can be sent again.
func withBody(out, r *http.Request) {
	arguments, err := io.ReadAll(io.LimitReader(r.Body, maxArguments))
	if err != nil {
		arguments = nil
	}
	out.ContentLength = int64(len(arguments))
	out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(string(arguments))), nil }
	out.Body, _ = out.GetBody()
}

// wellFormed leaves the query as hg wrote it, if it is one.
func wellFormed(query string) string {
	if _, err := url.ParseQuery(query); err != nil {
		return ""
	}
	return query
}

// hopByHop is true of the headers that are about a connection, of which there
// are two here.
func hopByHop(key string) bool {
	switch key {
	case "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	default:
		return false
	}
}

type counted struct {
	io.Reader

	total *atomic.Int64
	err   error // but for io.EOF
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.total.Add(int64(n))
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}
