package redoubttest

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestDependency_Call(t *testing.T) {
	tests := []struct {
		script string
		want   error
		took   time.Duration
	}{
		{"ok", nil, 0},
		{"204", nil, 0},
		{"302", nil, 0},
		{"slow 3s", nil, 3 * time.Second},
		{"slow 3s fail", ErrFail, 3 * time.Second},
		{"slow 20s fail", context.DeadlineExceeded, 10 * time.Second},
		{"hang", context.DeadlineExceeded, 10 * time.Second},
		{"reset", syscall.ECONNRESET, 0},
		{"refused", syscall.ECONNREFUSED, 0},
		{"eof", io.EOF, 0},
		{"truncated", io.ErrUnexpectedEOF, 0},
		{"fail", ErrFail, 0},
		{"end", ErrEnd, 0},
	}
	for _, tt := range tests {
		t.Run(tt.script, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dep := NewDependency(MustParse(tt.script))
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				start := time.Now()
				if err := dep.Call(ctx); !errors.Is(err, tt.want) {
					t.Errorf("err = %v, want %v", err, tt.want)
				}
				if took := time.Since(start); took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
			})
		})
	}
}

func TestDependency_Call_Timeout(t *testing.T) {
	err := NewDependency(MustParse("timeout")).Call(t.Context())
	var ne net.Error
	if !errors.As(err, &ne) || !ne.Timeout() {
		t.Errorf("err = %v, want a net.Error with Timeout() true", err)
	}
}

func TestDependency_Call_EndedContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var dep Dependency
	if err := dep.Call(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v, want Canceled", err)
	}
	if got := dep.Count(); got != 1 {
		t.Errorf("Count() = %d, want 1", got)
	}
}

func TestDependency_Call_Panic(t *testing.T) {
	dep := NewDependency(MustParse("panic"))
	defer func() {
		if p := recover(); p != ErrPanic {
			t.Errorf("panic value %v, want ErrPanic", p)
		}
		if dep.Calls()[0].End.IsZero() {
			t.Error("the call has no end")
		}
	}()
	_ = dep.Call(t.Context())
}

func TestDependency_Call_Goexit(t *testing.T) {
	dep := NewDependency(MustParse("goexit"))
	returned := false
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = dep.Call(t.Context())
		returned = true
	})
	wg.Wait()
	if returned {
		t.Error("Call returned, want Goexit")
	}
}

func TestStatusError(t *testing.T) {
	tests := []struct {
		step      string
		retryable bool
		after     time.Duration
		ok        bool
	}{
		{"400", false, 0, false},
		{"501", false, 0, false},
		{"503", true, 0, false},
		{"429 retry-after=2", true, 2 * time.Second, true},
		{"503 retry-after=0", true, 0, true},
		{"503 retry-after=date+5s", true, 5 * time.Second, true},
		{"503 retry-after=date-5s", true, 0, true},
		{"503 retry-after=-5", true, 0, false},
		{"503 retry-after=1.5", true, 0, false},
		{"503 retry-after=99999999999999999999", true, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.step, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // for a clock that stands still
				var err *StatusError
				if got := NewDependency(MustParse(tt.step)).Call(t.Context()); !errors.As(got, &err) {
					t.Fatalf("err = %v, want a *StatusError", got)
				}
				if got := err.Retryable(); got != tt.retryable {
					t.Errorf("Retryable() = %v, want %v", got, tt.retryable)
				}
				if got, ok := err.RetryAfter(); got != tt.after || ok != tt.ok {
					t.Errorf("RetryAfter() = %v, %v, want %v, %v", got, ok, tt.after, tt.ok)
				}
			})
		})
	}
	err := &StatusError{StatusCode: 503}
	if got, want := err.Error(), "redoubttest: 503 Service Unavailable"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
	if _, ok := err.RetryAfter(); ok {
		t.Error("RetryAfter() of an error without headers is valid")
	}
}

func TestValue(t *testing.T) {
	fetch := Value(NewDependency(MustParse("fail, ok")), "payload")
	if got, err := fetch(t.Context()); got != "" || !errors.Is(err, ErrFail) {
		t.Errorf("first call: %q, %v, want ErrFail", got, err)
	}
	if got, err := fetch(t.Context()); got != "payload" || err != nil {
		t.Errorf("second call: %q, %v, want payload", got, err)
	}
}

func TestDependency_Calls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dep := NewDependency(MustParse("503, slow 2s"))
		start := time.Now()
		_ = dep.Call(t.Context())
		time.Sleep(time.Second)
		go dep.Call(t.Context())
		synctest.Wait()

		calls := dep.Calls()
		if len(calls) != 2 {
			t.Fatalf("%d calls, want 2", len(calls))
		}
		if c := calls[0]; c.Attempt != 1 || c.Step != "503" || !c.Start.Equal(start) || !c.End.Equal(start) {
			t.Errorf("first call is %+v", c)
		}
		if c := calls[1]; c.Attempt != 2 || c.Step != "slow 2s ok" || !c.Start.Equal(start.Add(time.Second)) || !c.End.IsZero() {
			t.Errorf("second call is %+v", c)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got, want := dep.Calls()[1].End, start.Add(3*time.Second); !got.Equal(want) {
			t.Errorf("second call ended at %v, want %v", got, want)
		}
	})
}

func TestDependency_Concurrent(t *testing.T) {
	dep := NewDependency(MustParse("30*fail, ok"))
	client := &http.Client{Transport: dep}
	var wg sync.WaitGroup
	for n := range 60 {
		wg.Go(func() {
			if n%2 == 0 {
				_ = dep.Call(t.Context())
				return
			}
			resp, err := client.Post("http://any.host", "text/plain", strings.NewReader("payload"))
			if err == nil {
				_, _ = io.ReadAll(resp.Body)
				_ = resp.Body.Close()
			}
			dep.Calls()
		})
	}
	wg.Wait()
	failed := 0
	for i, c := range dep.Calls() {
		if c.Attempt != i+1 {
			t.Errorf("call %d has ordinal %d", i+1, c.Attempt)
		}
		if c.Step == "fail" {
			failed++
		}
	}
	if failed != 30 || dep.Count() != 60 {
		t.Errorf("%d of %d calls failed, want 30 of 60", failed, dep.Count())
	}
	if got := dep.OpenBodies(); got != 0 {
		t.Errorf("%d bodies open, want 0", got)
	}
}
