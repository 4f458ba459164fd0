package redoubt_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/internal/memhttp"
	"github.com/redoubt-go/redoubt/timeout"
)

// limits are the two ways to bound an attempt.
func limits(limit time.Duration) map[string]redoubt.Transport {
	return map[string]redoubt.Transport{
		"layer": {Layer: redoubt.Stack{every(time.Second, 3), timeout.Limit(limit)}},
		"field": {Layer: every(time.Second, 3), HeaderTimeout: limit},
	}
}

func TestTransport_048_TricklingBodyIsNotCut(t *testing.T) {
	for name, rt := range limits(150 * time.Millisecond) {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(w http.ResponseWriter, _ *http.Request) {
				for range 6 {
					_, _ = io.WriteString(w, "x")
					_ = http.NewResponseController(w).Flush()
					time.Sleep(100 * time.Millisecond)
				}
			}, func(t *testing.T, s *memhttp.Server) {
				rt.Base = s.Transport
				resp := send(t, &rt, newRequest(t.Context(), t, "GET", nil))
				if got, _ := io.ReadAll(resp.Body); string(got) != "xxxxxx" {
					t.Errorf("body %q", got)
				}
			})
		})
	}
}

func TestTransport_049_BodyIsReadAfterReturn(t *testing.T) {
	payload := bytes.Repeat([]byte("redoubt "), 1<<20)
	for _, http2 := range []bool{false, true} {
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(payload) }))
		server.EnableHTTP2 = http2
		server.StartTLS()
		for name, rt := range limits(time.Minute) {
			rt.Base = server.Client().Transport
			req, _ := http.NewRequestWithContext(t.Context(), "GET", server.URL, nil)
			resp := send(t, &rt, req)
			if got, _ := io.ReadAll(resp.Body); !bytes.Equal(got, payload) {
				t.Errorf("%s, HTTP/2 %v: %d bytes, want %d", name, http2, len(got), len(payload))
			}
		}
		server.Close()
	}
}

func TestTransport_050_NothingIsLeft(t *testing.T) {
	for name, finish := range map[string]func(*http.Response){
		"read, not closed": func(r *http.Response) { _, _ = io.Copy(io.Discard, r.Body) },
		"closed early":     func(r *http.Response) { r.Body.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var sent <-chan struct{}
				rt := &redoubt.Transport{
					HeaderTimeout: time.Hour, Layer: timeout.Limit(time.Hour),
					Base: trip(func(r *http.Request) (*http.Response, error) {
						sent = r.Context().Done()
						return answer(r, 200, strings.Repeat("x", 1<<20)), nil
					}),
				}
				resp, err := rt.RoundTrip(newRequest(t.Context(), t, "GET", nil))
				if err != nil {
					t.Fatal(err)
				}
				select {
				case <-sent:
					t.Fatal("context of the attempt has ended before its body")
				default:
				}
				finish(resp)
				select {
				case <-sent:
				default:
					t.Error("context of the attempt is alive after its body has ended")
				}
			})
		})
	}
}

func TestTransport_051_SilentServer(t *testing.T) {
	for name, rt := range limits(2 * time.Second) {
		t.Run(name, func(t *testing.T) {
			var l log
			bubble(t, func(_ http.ResponseWriter, r *http.Request) {
				if l.note(r) == 1 {
					<-r.Context().Done()
				}
			}, func(t *testing.T, s *memhttp.Server) {
				rt.Base = s.Transport
				start := time.Now()
				resp := send(t, &rt, newRequest(t.Context(), t, "GET", nil))
				if took := time.Since(start); resp.StatusCode != 200 || took != 3*time.Second {
					t.Errorf("status %d after %v, want 200 after 3s", resp.StatusCode, took)
				}
			})
		})
	}
}

// A Base that is deaf to its context answers when nobody waits any more. Its
// response would be on a context that has ended.
func TestTransport_051_LateResponse(t *testing.T) {
	for name, rt := range limits(2 * time.Second) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				content, trips := &body{Reader: strings.NewReader("late")}, 0
				rt.Base = trip(func(r *http.Request) (*http.Response, error) {
					resp := answer(r, 200, "done")
					if trips++; trips == 1 {
						time.Sleep(10 * time.Second)
						resp.Body, resp.ContentLength = content, -1
					}
					return resp, nil
				})
				resp := send(t, &rt, newRequest(t.Context(), t, "GET", nil))
				if got, _ := io.ReadAll(resp.Body); string(got) != "done" || trips != 2 || content.closes.Load() != 1 {
					t.Errorf("got %q after %d trips, late response closed %d times, want done after 2 and once", got, trips, content.closes.Load())
				}
			})
		})
	}
}

func TestTransport_052_058_SilenceInTheBody(t *testing.T) {
	for _, tt := range []struct {
		limit, took time.Duration
	}{{0, redoubt.DefaultStallTimeout}, {3 * time.Second, 3 * time.Second}, {redoubt.NoStallTimeout, time.Hour}} {
		bubble(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "begin")
			_ = http.NewResponseController(w).Flush()
			select {
			case <-r.Context().Done():
			case <-time.After(time.Hour):
			}
		}, func(t *testing.T, s *memhttp.Server) {
			rt := &redoubt.Transport{Base: s.Transport, StallTimeout: tt.limit}
			start := time.Now()
			resp, err := rt.RoundTrip(newRequest(t.Context(), t, "GET", nil))
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			var stalled *redoubt.TimeoutError
			if took := time.Since(start); string(got) != "begin" || took != tt.took {
				t.Errorf("limit %v: %q after %v, want begin after %v", tt.limit, got, took, tt.took)
			}
			if isStall := errors.As(err, &stalled) && stalled.Phase == redoubt.PhaseBody; isStall != (tt.took != time.Hour) {
				t.Errorf("limit %v: err = %v", tt.limit, err)
			}
			_ = resp.Body.Close()
		})
	}
}

// HTTP/2 says of a Read that was cut short that it was cancelled.
func TestTransport_052_SilenceInTheBodyOfHTTP2(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := h2{serve: func(c *h2conn, stream uint32) {
			c.frame(frameHeaders, flagEndHeaders, stream, []byte{0x88})
			c.frame(frameData, 0, stream, []byte("begin"))
		}}
		rt := &redoubt.Transport{Base: h.transport(t), StallTimeout: 3 * time.Second}
		resp, err := rt.RoundTrip(newRequest(t.Context(), t, "GET", nil))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		start := time.Now()
		got, err := io.ReadAll(resp.Body)
		stalled, ok := errors.AsType[*redoubt.TimeoutError](err)
		if took := time.Since(start); string(got) != "begin" || !ok || stalled.Phase != redoubt.PhaseBody || errors.Is(err, context.Canceled) || took != 3*time.Second {
			t.Errorf("%q, %v after %v, want begin and a timeout after 3s", got, err, took)
		}
	})
}

func TestTransport_053_SlowConsumer(t *testing.T) {
	bubble(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(make([]byte, 256<<10))
	}, func(t *testing.T, s *memhttp.Server) {
		rt := &redoubt.Transport{Base: s.Transport, StallTimeout: time.Second}
		resp, err := rt.RoundTrip(newRequest(t.Context(), t, "GET", nil))
		if err != nil {
			t.Fatal(err)
		}
		total := 0
		for chunk := make([]byte, 16<<10); err == nil; time.Sleep(time.Minute) {
			var n int
			n, err = resp.Body.Read(chunk)
			total += n
		}
		if err != io.EOF || total != 256<<10 {
			t.Errorf("%d bytes, %v", total, err)
		}
	})
}

func TestTransport_054_AttemptTimeoutToExhaustion(t *testing.T) {
	for name, rt := range limits(2 * time.Second) {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
				func(t *testing.T, s *memhttp.Server) {
					rt.Base = s.Transport
					resp, err := rt.RoundTrip(newRequest(t.Context(), t, "GET", nil))
					var says interface{ Timeout() bool }
					if resp != nil || !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &says) || !says.Timeout() {
						t.Fatalf("%v, %v, want a timeout", resp, err)
					}
					var field *redoubt.TimeoutError
					var layer *timeout.Error
					if name == "field" && (!errors.As(err, &field) || field.Phase != redoubt.PhaseHeaders) ||
						name == "layer" && !errors.As(err, &layer) {
						t.Errorf("err = %v does not say that it was the attempt's time", err)
					}
				})
		})
	}
}

// HTTP/2 returns a plain context.Canceled when a context is cancelled with a
// cause.
func TestTransport_054_HTTP2(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	for name, rt := range limits(50 * time.Millisecond) {
		rt.Base = server.Client().Transport
		req, _ := http.NewRequestWithContext(redoubt.WithoutRetry(t.Context()), "GET", server.URL, nil)
		_, err := rt.RoundTrip(req)
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			t.Errorf("%s: err = %v, want a timeout and no cancellation", name, err)
		}
	}
}

func TestTransport_055_CallersDeadlineIsNearer(t *testing.T) {
	for name, rt := range limits(time.Minute) {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
				func(t *testing.T, s *memhttp.Server) {
					rt.Base = s.Transport
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					start := time.Now()
					_, err := rt.RoundTrip(newRequest(ctx, t, "GET", nil))
					var field *redoubt.TimeoutError
					var layer *timeout.Error
					if !errors.Is(err, context.DeadlineExceeded) || errors.As(err, &field) || errors.As(err, &layer) || time.Since(start) != time.Second {
						t.Errorf("err = %v after %v, want the caller's deadline", err, time.Since(start))
					}
				})
		})
	}
}

func TestTransport_056_UploadsAreNotCut(t *testing.T) {
	for name, content := range map[string]io.Reader{
		"slow producer": &slow{chunks: 20, wait: time.Second},
		"idle producer": &slow{chunks: 2, wait: time.Hour},
		"slow server":   bytes.NewReader(make([]byte, 1<<20)),
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(_ http.ResponseWriter, r *http.Request) {
				for chunk := make([]byte, 64<<10); ; time.Sleep(time.Second) {
					if _, err := io.ReadFull(r.Body, chunk); err != nil {
						return
					}
				}
			}, func(t *testing.T, s *memhttp.Server) {
				rt := &redoubt.Transport{Base: s.Transport, HeaderTimeout: 3 * time.Second}
				start := time.Now()
				resp := send(t, rt, newRequest(t.Context(), t, "PUT", content))
				if took := time.Since(start); resp.StatusCode != 200 || took < 10*time.Second {
					t.Errorf("status %d after %v", resp.StatusCode, took)
				}
			})
		})
	}
}

func TestTransport_056_StuckUploadIsCut(t *testing.T) {
	bubble(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = r.Body.Read(make([]byte, 1))
		select {
		case <-r.Context().Done():
		case <-time.After(time.Hour):
		}
	}, func(t *testing.T, s *memhttp.Server) {
		rt := &redoubt.Transport{Base: s.Transport, HeaderTimeout: 3 * time.Second}
		start := time.Now()
		_, err := rt.RoundTrip(newRequest(t.Context(), t, "PUT", bytes.NewReader(make([]byte, 1<<20))))
		var stuck *redoubt.TimeoutError
		if !errors.As(err, &stuck) || stuck.Phase != redoubt.PhaseWrite || time.Since(start) != 3*time.Second {
			t.Errorf("err = %v after %v, want a write timeout after 3s", err, time.Since(start))
		}
	})
}

// Every step that Base tells of gives the send its full limit again.
func TestTransport_056_EachStepHasTheLimit(t *testing.T) {
	for steps, phase := range []redoubt.Phase{redoubt.PhaseConnect, redoubt.PhaseWrite, redoubt.PhaseWrite, redoubt.PhaseHeaders, ""} {
		synctest.Test(t, func(t *testing.T) {
			rt := &redoubt.Transport{HeaderTimeout: 3 * time.Second, Base: trip(func(r *http.Request) (*http.Response, error) {
				trace := httptrace.ContextClientTrace(r.Context())
				for i, step := range []func(){
					func() { trace.GotConn(httptrace.GotConnInfo{}) },
					trace.WroteHeaders,
					func() { trace.WroteRequest(httptrace.WroteRequestInfo{}) },
					func() {},
				} {
					if i == steps {
						<-r.Context().Done()
						return nil, r.Context().Err()
					}
					time.Sleep(2 * time.Second)
					step()
				}
				return answer(r, 200, ""), nil
			})}
			start := time.Now()
			_, err := rt.RoundTrip(newRequest(t.Context(), t, "GET", nil))
			took, silent := time.Since(start), time.Duration(steps)*2*time.Second+3*time.Second
			if phase == "" {
				if err != nil {
					t.Errorf("steps of 2s each: %v", err)
				}
				return
			}
			if stuck, ok := errors.AsType[*redoubt.TimeoutError](err); !ok || stuck.Phase != phase || took != silent {
				t.Errorf("silent after %d steps: %v after %v, want a timeout of phase %s after %v", steps, err, took, phase, silent)
			}
		})
	}
}

// Once there are headers the limit for them is over, though an upload goes on, and
// pauses.
func TestTransport_056_UploadAfterTheHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent *http.Request
		rt := &redoubt.Transport{HeaderTimeout: 3 * time.Second, Base: keeper(func(r *http.Request) (*http.Response, error) {
			sent = r
			return answer(r, 200, "echo"), nil
		})}
		resp, err := rt.RoundTrip(newRequest(t.Context(), t, "POST", &slow{chunks: 2, wait: time.Second}))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = sent.Body.Read(make([]byte, 1))
		time.Sleep(time.Minute)
		if sent.Context().Err() != nil {
			t.Errorf("%v while the exchange goes on", context.Cause(sent.Context()))
		}
		_, _ = sent.Body.Close(), resp.Body.Close()
	})
}

// slow gives one byte at a time, each after a wait.
type slow struct {
	chunks int
	wait   time.Duration
}

func (s *slow) Read(p []byte) (int, error) {
	if s.chunks == 0 {
		return 0, io.EOF
	}
	s.chunks--
	time.Sleep(s.wait)
	p[0] = 'x'
	return 1, nil
}

func TestTransport_057_BodyThatDies(t *testing.T) {
	var l log
	bubble(t, func(w http.ResponseWriter, r *http.Request) {
		l.note(r)
		w.Header().Set("Content-Length", "10")
		_, _ = io.WriteString(w, "begin")
	}, func(t *testing.T, s *memhttp.Server) {
		rt := &redoubt.Transport{Base: s.Transport, Layer: every(time.Second, 3)}
		resp, err := rt.RoundTrip(newRequest(t.Context(), t, "GET", nil))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		if string(got) != "begin" || err != io.ErrUnexpectedEOF || l.count() != 1 {
			t.Errorf("%q, %v after %d requests, want begin and ErrUnexpectedEOF itself", got, err, l.count())
		}
	})
}

// With MaxResponseBuffer a body that dies is a failed attempt.
func TestTransport_057_BufferedBodyThatDies(t *testing.T) {
	for _, size := range []int64{10, 1 << 10} {
		var l log
		bubble(t, func(w http.ResponseWriter, r *http.Request) {
			if l.note(r) == 1 {
				w.Header().Set("Content-Length", "10")
				_, _ = io.WriteString(w, "begin")
				return
			}
			_, _ = io.WriteString(w, "begin")
			_ = http.NewResponseController(w).Flush() // not declared
			_, _ = io.WriteString(w, ", end")
		}, func(t *testing.T, s *memhttp.Server) {
			rt := &redoubt.Transport{Base: s.Transport, Layer: every(time.Second, 3), MaxResponseBuffer: size}
			resp := send(t, rt, newRequest(t.Context(), t, "GET", nil))
			if got, _ := io.ReadAll(resp.Body); string(got) != "begin, end" || l.count() != 2 {
				t.Errorf("%d: %q after %d requests, want the second's", size, got, l.count())
			}
		})
	}
}

// Who holds back the messages of a stream stops an exchange in which each waits
// for the other's.
func TestTransport_057_StreamsAreNotBuffered(t *testing.T) {
	for _, kind := range []string{"text/event-stream", "application/grpc+proto", "application/grpc-web", "application/connect+json"} {
		t.Run(kind, func(t *testing.T) {
			bubble(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", kind)
				_, _ = io.WriteString(w, "one")
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
			}, func(t *testing.T, s *memhttp.Server) {
				rt := &redoubt.Transport{Base: s.Transport, Layer: timeout.Limit(time.Second), MaxResponseBuffer: 1 << 10}
				resp, err := rt.RoundTrip(newRequest(t.Context(), t, "POST", nil))
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				message := make([]byte, 3)
				if _, err := io.ReadFull(resp.Body, message); err != nil || string(message) != "one" {
					t.Errorf("%q, %v, want the first message", message, err)
				}
			})
		})
	}
}

func TestTransport_WithoutTimeouts(t *testing.T) {
	bubble(t, func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(time.Hour)
		_ = http.NewResponseController(w).Flush()
		time.Sleep(time.Hour)
		_, _ = io.WriteString(w, "event")
	}, func(t *testing.T, s *memhttp.Server) {
		rt := &redoubt.Transport{Base: s.Transport, HeaderTimeout: time.Second, StallTimeout: time.Second}
		resp := send(t, rt, newRequest(redoubt.WithoutTimeouts(t.Context()), t, "GET", nil))
		if got, _ := io.ReadAll(resp.Body); string(got) != "event" {
			t.Errorf("body %q", got)
		}
	})
}

func TestTransport_082_NoGoroutineOutlivesACall(t *testing.T) {
	bubble(t, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		func(t *testing.T, s *memhttp.Server) {
			rt := &redoubt.Transport{Base: s.Transport, Layer: every(time.Hour, 3), HeaderTimeout: time.Hour}
			before := runtime.NumGoroutine()
			for range 200 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
				_, err := rt.RoundTrip(newRequest(ctx, t, "GET", nil))
				cancel()
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Fatal(err)
				}
			}
			synctest.Wait()
			if after := runtime.NumGoroutine(); after > before+10 {
				t.Errorf("%d goroutines, %d before", after, before)
			}
		})
}

// A body that net/http had again from GetBody, to replay the request on its own, is
// progress as the first one is.
func TestTransport_073_ReplayIsProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := &redoubt.Transport{HeaderTimeout: time.Second, Base: trip(func(r *http.Request) (*http.Response, error) {
			_ = r.Body.Close()
			again, err := r.GetBody()
			if err != nil {
				return nil, err
			}
			defer again.Close()
			for range 5 {
				select {
				case <-time.After(600 * time.Millisecond):
				case <-r.Context().Done():
					return nil, context.Cause(r.Context())
				}
				if _, err := again.Read(make([]byte, 1)); err != nil {
					return nil, err
				}
			}
			return answer(r, 200, ""), nil
		})}
		req := newRequest(t.Context(), t, "PUT", &body{Reader: strings.NewReader("order")})
		req.GetBody = func() (io.ReadCloser, error) { return &body{Reader: strings.NewReader("order")}, nil }
		start := time.Now()
		if resp := send(t, rt, req); resp.StatusCode != 200 || time.Since(start) != 3*time.Second {
			t.Errorf("status %d after %v, want 200 after 3s", resp.StatusCode, time.Since(start))
		}
	})
}
