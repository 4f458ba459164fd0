package redoubt_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/internal/memhttp"
)

func TestTransport_021_PipeBodyIsStreamed(t *testing.T) {
	for _, buffer := range []int64{0, 1 << 20} {
		first := make(chan string, 1)
		server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			chunk := make([]byte, 5)
			_, _ = io.ReadFull(r.Body, chunk)
			first <- string(chunk)
			_, _ = io.Copy(io.Discard, r.Body)
		}))
		rt := &redoubt.Transport{Base: server.Client().Transport, Layer: atOnce(3), MaxRequestBuffer: buffer}
		pr, pw := io.Pipe()
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPut, server.URL, pr)
		go func() {
			_, _ = io.WriteString(pw, "first")
			if got := <-first; got != "first" {
				t.Errorf("server got %q while the producer was busy", got)
			}
			_ = pw.Close()
		}()
		send(t, rt, req)
		server.Close()
	}
}

func TestTransport_022_BodyWithoutGetBodyIsSentOnce(t *testing.T) {
	var l log
	bubble(t, statuses(&l, 503, 200), func(t *testing.T, s *memhttp.Server) {
		rt := &redoubt.Transport{Base: s.Transport, Layer: every(time.Second, 3)}
		resp := send(t, rt, newRequest(t.Context(), t, "PUT", &body{Reader: strings.NewReader("file")}))
		if resp.StatusCode != http.StatusServiceUnavailable || l.count() != 1 {
			t.Errorf("status %d after %d requests, want 503 after 1", resp.StatusCode, l.count())
		}
	})
}

func TestTransport_023_GetBodyOncePerFurtherAttempt(t *testing.T) {
	var l log
	bubble(t, statuses(&l, 503, 503, 200), func(t *testing.T, s *memhttp.Server) {
		rt := &redoubt.Transport{Base: s.Transport, Layer: every(time.Second, 3)}
		bodies := []*body{{Reader: strings.NewReader("file")}}
		req := newRequest(t.Context(), t, "PUT", bodies[0])
		req.ContentLength = 4
		req.GetBody = func() (io.ReadCloser, error) {
			bodies = append(bodies, &body{Reader: strings.NewReader("file")})
			return bodies[len(bodies)-1], nil
		}
		send(t, rt, req)
		if len(bodies) != 3 || l.count() != 3 {
			t.Fatalf("%d bodies for %d requests, want 3", len(bodies), l.count())
		}
		for i, b := range bodies {
			if b.reads.Load() == 0 || b.closes.Load() == 0 {
				t.Errorf("body %d: %d reads, %d closes", i, b.reads.Load(), b.closes.Load())
			}
		}
	})
}

func TestTransport_024_CallersBodyIsClosed(t *testing.T) {
	ok := trip(func(r *http.Request) (*http.Response, error) { return answer(r, 200, ""), nil })
	open := breaker.New(breaker.Config{Name: "b"})
	open.ForceOpen()
	for name, tt := range map[string]struct {
		base  http.RoundTripper
		layer redoubt.Layer
		done  bool
	}{
		"200":              {base: ok},
		"503":              {base: trip(func(r *http.Request) (*http.Response, error) { return answer(r, 503, ""), nil })},
		"error":            {base: trip(func(*http.Request) (*http.Response, error) { return nil, syscall.ECONNREFUSED })},
		"cancelled before": {base: ok, done: true},
		"breaker open":     {base: ok, layer: redoubt.Stack{every(time.Second, 3), open}},
		"layer runs none":  {base: ok, layer: redoubt.LayerFunc(func(context.Context, func(context.Context) error) error { return nil })},
		"invalid":          {base: ok, layer: redoubt.LayerFunc(nil)},
	} {
		for _, again := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					if tt.done {
						cancel()
					}
					content := &body{Reader: strings.NewReader("order")}
					req := newRequest(ctx, t, "POST", content)
					if again {
						req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("order")), nil }
					}
					resp, err := (&redoubt.Transport{Base: tt.base, Layer: tt.layer}).RoundTrip(req)
					if (resp == nil) == (err == nil) {
						t.Errorf("response %v, error %v", resp, err)
					}
					if err == nil {
						_ = resp.Body.Close()
					}
					if content.closes.Load() == 0 {
						t.Errorf("body with GetBody %v was not closed", again)
					}
				})
			})
		}
	}
}

func TestTransport_025_RequestIsUnchanged(t *testing.T) {
	var l log
	bubble(t, statuses(&l, 503, 200), func(t *testing.T, s *memhttp.Server) {
		rt := &redoubt.Transport{
			Base: s.Transport, Layer: every(time.Second, 3), AttemptHeader: "Retry-Attempt",
			Prepare: func(r *http.Request) error { r.Header.Set("Authorization", "x"); r.URL.Path = "/other"; return nil },
		}
		req := newRequest(t.Context(), t, "PUT", strings.NewReader("file"), "Accept", "text/plain")
		before := *req
		send(t, rt, req)
		if req.Body != before.Body || req.Context() != before.Context() || req.URL.Path != "/path" || req.Close || len(req.Header) != 1 {
			t.Errorf("request was changed: %+v", req)
		}
		if got := l.all()[1].Header.Get("Retry-Attempt"); got != "1" || l.all()[0].Header["Retry-Attempt"] != nil {
			t.Errorf("Retry-Attempt of the second request is %q, want 1", got)
		}
		if got := l.all()[1].URL.Path; got != "/other" {
			t.Errorf("sent to %q, want what Prepare says", got)
		}
	})
}

// A request that is to close its connection does so each time it is sent.
func TestTransport_025_Close(t *testing.T) {
	var l log
	bubble(t, statuses(&l, 503, 200), func(t *testing.T, s *memhttp.Server) {
		req := newRequest(t.Context(), t, "GET", nil)
		req.Close = true
		send(t, &redoubt.Transport{Base: s.Transport, Layer: every(time.Second, 3)}, req)
		for i, r := range l.all() {
			if !r.Close {
				t.Errorf("request %d does not close its connection", i+1)
			}
		}
	})
}

func TestTransport_026_030_Framing(t *testing.T) {
	for content, length := range map[io.Reader]int64{strings.NewReader("abc"): 3, http.NoBody: 0} {
		var l log
		bubble(t, statuses(&l, 503, 200), func(t *testing.T, s *memhttp.Server) {
			rt := &redoubt.Transport{Base: s.Transport, Layer: every(time.Second, 3)}
			send(t, rt, newRequest(t.Context(), t, "PUT", content))
			for i, r := range l.all() {
				if r.ContentLength != length || len(r.TransferEncoding) != 0 {
					t.Errorf("request %d: length %d, encoding %v, want %d and none", i, r.ContentLength, r.TransferEncoding, length)
				}
			}
		})
	}
}

// The server answers before it has read the upload. The transport may still use
// the first attempt's body while the second is under way.
func TestTransport_028_RetryWhileTheUploadRuns(t *testing.T) {
	payload := make([]byte, 4<<20)
	for i := range payload {
		payload[i] = byte(i * 7 >> 3)
	}
	for name, complete := range map[string]func(*http.Request){
		"GetBody": func(r *http.Request) {
			r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(payload)), nil }
		},
		"buffered": func(*http.Request) {},
	} {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if n.Add(1) == 1 {
					w.WriteHeader(http.StatusServiceUnavailable)
					return
				}
				got, err := io.ReadAll(r.Body)
				if err != nil || !bytes.Equal(got, payload) {
					t.Errorf("retry brought %d bytes, %v, not the same %d", len(got), err, len(payload))
				}
			}))
			defer server.Close()
			rt := &redoubt.Transport{Base: server.Client().Transport, Layer: atOnce(3), MaxRequestBuffer: 8 << 20}
			for range 5 {
				n.Store(0)
				req, _ := http.NewRequestWithContext(t.Context(), http.MethodPut, server.URL, io.NopCloser(bytes.NewReader(payload)))
				req.ContentLength = int64(len(payload))
				complete(req)
				resp, err := rt.RoundTrip(req)
				if err != nil { // an idempotent request on a connection closed under it
					t.Logf("%v", err)
					continue
				}
				resp.Body.Close()
			}
		})
	}
}

// A rewound is a body that GetBody gives out again, rewound, as connect-go has
// it.
type rewound struct {
	mu sync.Mutex
	r  *strings.Reader
}

func (b *rewound) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.r.Read(p)
}

func (b *rewound) Close() error { return nil }

func (b *rewound) rewind() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, err := b.r.Seek(0, io.SeekStart)
	return err
}

// An upload that goes on after its attempt must not eat what belongs to the next.
func TestTransport_028_RewoundBodyIsTheNextAttempts(t *testing.T) {
	const want = "all of it"
	shared := &rewound{r: strings.NewReader(want)}
	var first io.Reader
	var got []string
	rt := &redoubt.Transport{Layer: atOnce(3), Base: keeper(func(r *http.Request) (*http.Response, error) {
		if first == nil {
			first = r.Body
			return answer(r, http.StatusServiceUnavailable, ""), nil
		}
		if n, err := first.Read(make([]byte, 3)); n != 0 || err == nil {
			t.Errorf("the upload of the attempt before read %d bytes, %v", n, err)
		}
		b, err := io.ReadAll(r.Body)
		got = append(got, string(b))
		return answer(r, http.StatusOK, ""), err
	})}
	for _, content := range []io.ReadCloser{shared, io.NopCloser(shared)} { // a file would be like the second
		first, got = nil, nil
		req := newRequest(t.Context(), t, "PUT", content)
		req.Body, req.ContentLength = content, int64(len(want))
		req.GetBody = func() (io.ReadCloser, error) {
			return content, shared.rewind()
		}
		send(t, rt, req)
		if len(got) != 1 || got[0] != want {
			t.Errorf("%T: the next attempt sent %q, want %q", content, got, want)
		}
	}
}

// A slowBody thinks for a while before each Read.
type slowBody struct {
	*rewound

	pause time.Duration
}

func (b *slowBody) Read(p []byte) (int, error) {
	time.Sleep(b.pause)
	return b.rewound.Read(p)
}

// Neither must the Read that is under way. One that goes on for longer is waited
// for no more, and what it reads can't be sent again unless GetBody has another.
func TestTransport_028_ReadUnderWay(t *testing.T) {
	const want = "all of it"
	for name, tt := range map[string]struct {
		pause  time.Duration
		shared bool
		cut    bool          // the first attempt has no response
		takes  time.Duration // until the next attempt, -1 if there is none
	}{
		"short":             {10 * time.Millisecond, true, false, 10 * time.Millisecond},
		"long":              {time.Minute, true, false, -1},
		"long, no response": {time.Minute, true, true, -1},
		"long, other body":  {time.Minute, false, false, 50 * time.Millisecond},
		"short, other body": {10 * time.Millisecond, false, false, 10 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start, upload := time.Now(), make(chan struct{})
				sends, got := 0, ""
				rt := &redoubt.Transport{Layer: atOnce(3), Base: keeper(func(r *http.Request) (*http.Response, error) {
					if sends++; sends == 1 {
						go func() {
							defer close(upload)
							_, _ = r.Body.Read(make([]byte, 3))
						}()
						synctest.Wait()
						if tt.cut {
							return nil, io.ErrUnexpectedEOF
						}
						return answer(r, http.StatusServiceUnavailable, ""), nil
					}
					if took := time.Since(start); took != tt.takes {
						t.Errorf("the next attempt begins after %v, want %v", took, tt.takes)
					}
					b, err := io.ReadAll(r.Body)
					got = string(b)
					return answer(r, http.StatusOK, ""), err
				})}
				content := &slowBody{&rewound{r: strings.NewReader(want)}, tt.pause}
				req := newRequest(t.Context(), t, "PUT", content)
				req.Body, req.ContentLength = content, int64(len(want))
				req.GetBody = func() (io.ReadCloser, error) {
					if !tt.shared {
						return io.NopCloser(strings.NewReader(want)), nil
					}
					return content, content.rewind()
				}
				resp, err := rt.RoundTrip(req)
				if tt.takes >= 0 {
					if err != nil || resp.StatusCode != http.StatusOK || got != want {
						t.Errorf("%v, %v; the next attempt sent %q, want %q", resp, err, got, want)
					}
				} else if !tt.cut { // the server's last word
					if err != nil || resp.StatusCode != http.StatusServiceUnavailable || sends != 1 {
						t.Errorf("%v, %v after %d sends, want the response after 1", resp, err, sends)
					}
				} else if failure, ok := errors.AsType[*redoubt.SendError](err); !ok || failure.Sent || failure.Retryable() ||
					!strings.Contains(err.Error(), "GetBody returns no other") || sends != 1 {
					t.Errorf("err = %v after %d sends, want what is wrong with GetBody after 1", err, sends)
				}
				<-upload
			})
		})
	}
}

// A keeper is a RoundTripper that may read a request body later.
type keeper func(*http.Request) (*http.Response, error)

func (f keeper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestTransport_031_BufferingIsBounded(t *testing.T) {
	var l atomic.Int64
	base := trip(func(r *http.Request) (*http.Response, error) {
		n, _ := io.Copy(io.Discard, r.Body)
		l.Add(n)
		return answer(r, 503, ""), nil
	})
	const size = 64 << 20
	for _, limit := range []int64{0, 1 << 20} {
		l.Store(0)
		rt := &redoubt.Transport{Base: base, Layer: atOnce(3), MaxRequestBuffer: limit}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		resp, err := rt.RoundTrip(newRequest(t.Context(), t, "PUT", io.LimitReader(zeros{}, size)))
		runtime.ReadMemStats(&after)
		if err != nil || resp.StatusCode != http.StatusServiceUnavailable || l.Load() != size {
			t.Errorf("limit %d: %v, %v, %d bytes sent, want %d once", limit, resp, err, l.Load(), size)
		}
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 8<<20 {
			t.Errorf("limit %d: allocated %d bytes for a body of %d", limit, grown, size)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestTransport_031_BufferedBodyIsSentAgain(t *testing.T) {
	var l log
	bubble(t, statuses(&l, 503, 503, 200), func(t *testing.T, s *memhttp.Server) {
		rt := &redoubt.Transport{Base: s.Transport, Layer: every(time.Second, 3), MaxRequestBuffer: 5}
		content := &body{Reader: strings.NewReader("order")}
		resp := send(t, rt, newRequest(t.Context(), t, "PUT", content))
		if resp.StatusCode != http.StatusOK || l.count() != 3 || content.closes.Load() != 1 {
			t.Fatalf("status %d after %d requests, closed %d times", resp.StatusCode, l.count(), content.closes.Load())
		}
		for i, r := range l.all() {
			if r.body != "order" {
				t.Errorf("request %d brought %q", i, r.body)
			}
		}
	})
}

func TestTransport_032_GetBodyStaysWithTheBody(t *testing.T) {
	var once sync.Once
	rt := &redoubt.Transport{HeaderTimeout: time.Minute, Base: trip(func(r *http.Request) (*http.Response, error) {
		once.Do(func() {
			again, err := r.GetBody()
			if err != nil {
				t.Fatal(err)
			}
			first, _ := io.ReadAll(r.Body)
			second, _ := io.ReadAll(again)
			if !bytes.Equal(first, second) || len(first) != 1<<20 {
				t.Errorf("Body has %d bytes, GetBody %d, want the same 1 MiB", len(first), len(second))
			}
		})
		return answer(r, 200, ""), nil
	})}
	send(t, rt, newRequest(t.Context(), t, "PUT", bytes.NewReader(make([]byte, 1<<20))))
}

// A body that fails is the caller's, and nobody else is to blame.
func TestTransport_FailingRequestBody(t *testing.T) {
	broken := errors.New("disk on fire")
	var l log
	bubble(t, statuses(&l, 200), func(t *testing.T, s *memhttp.Server) {
		b := breaker.New(breaker.Config{Name: "b", Consecutive: 1})
		rt := &redoubt.Transport{Base: s.Transport, Layer: redoubt.Stack{every(time.Second, 3), b}}
		content := io.MultiReader(strings.NewReader("begin"), failing{broken})
		_, err := rt.RoundTrip(newRequest(t.Context(), t, "PUT", content))
		if !errors.Is(err, broken) || b.State() != breaker.Closed {
			t.Errorf("err = %v, breaker %v, want the body's error and closed", err, b.State())
		}
	})
}

// Package http fails a request whose body fails to close, such as one that finds out
// then that it was cut short. That is nobody else's failure either.
func TestTransport_RequestBodyFailsToClose(t *testing.T) {
	broken := errors.New("cut short")
	for _, again := range []bool{false, true} {
		var l log
		bubble(t, statuses(&l, 200), func(t *testing.T, s *memhttp.Server) {
			content := &failsToClose{strings.NewReader("begin"), broken}
			req := newRequest(t.Context(), t, "PUT", content)
			req.Body = content
			if again {
				req.GetBody = func() (io.ReadCloser, error) { return content, nil }
			}
			b := breaker.New(breaker.Config{Name: "b", Consecutive: 1})
			_, err := (&redoubt.Transport{Base: s.Transport, Layer: redoubt.Stack{every(time.Second, 3), b}}).RoundTrip(req)
			failure, ok := errors.AsType[*redoubt.SendError](err)
			if !errors.Is(err, broken) || !ok || failure.ErrorType() != "request_body" || b.State() != breaker.Closed {
				t.Errorf("GetBody %t: err = %v, breaker %v; want the body's error and closed", again, err, b.State())
			}
		})
	}
}

// A failsToClose fails to close.
type failsToClose struct {
	io.Reader

	err error
}

func (b *failsToClose) Close() error { return b.err }

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// Vegeta reads on after the end of a body, and so do others. A Base that looks at
// the request's context, which ends with the body, must not make that a failure.
func TestTransport_EndOfBodyIsFinal(t *testing.T) {
	rt := &redoubt.Transport{Base: baseFunc(func(req *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Request: req, Body: &strictBody{req.Context(), strings.NewReader("all")}}, nil
	})}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://host.test/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(resp.Body); err != nil || string(text) != "all" {
		t.Errorf("got %q, %v", text, err)
	}
	for range 2 {
		if n, err := resp.Body.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("after the end: %d, %v; want 0, EOF", n, err)
		}
	}
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
}

type baseFunc func(*http.Request) (*http.Response, error)

func (f baseFunc) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// A strictBody fails once its context has ended.
type strictBody struct {
	ctx context.Context //nolint:containedctx // A test looks at it.
	io.Reader
}

func (b *strictBody) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	return b.Reader.Read(p)
}

func (b *strictBody) Close() error { return nil }

// Bodies of types that can't be compared are bodies all the same.
func TestTransport_BodyThatIsNotComparable(t *testing.T) {
	var l log
	bubble(t, statuses(&l, 503, 200), func(t *testing.T, s *memhttp.Server) {
		again := func() (io.ReadCloser, error) {
			return io.NopCloser(parts{[]io.Reader{strings.NewReader("order")}}), nil
		}
		req := newRequest(t.Context(), t, "PUT", nil)
		req.Body, _ = again()
		req.GetBody, req.ContentLength = again, 5
		rt := &redoubt.Transport{Base: s.Transport, Layer: every(time.Second, 3), HeaderTimeout: time.Minute}
		if resp := send(t, rt, req); resp.StatusCode != http.StatusOK || l.all()[1].body != "order" {
			t.Errorf("status %d", resp.StatusCode)
		}
	})
}

type parts struct{ readers []io.Reader }

func (p parts) Read(b []byte) (int, error) { return p.readers[0].Read(b) }
