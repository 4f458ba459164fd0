package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// A subject is one way to do what a benchmark measures.
type subject struct {
	impl string // who does it: redoubt, a rival, or "floor" for the least code by hand

	// wrap returns the operation to be measured: call under the subject's
	// rules. It takes its own copy of whatever has memory.
	wrap func(call func(context.Context) error) func(context.Context) error

	runs int   // how often one operation runs call, if not once
	want error // what the operation returns, found by errors.Is; anyError for whatever
}

// A row is what subjects are compared at.
type row struct {
	bench    string // the benchmark's name without "Benchmark"
	keys     string // further parts of the name, such as "callee=deaf"
	callee   callee
	subjects []subject
}

// A callee makes the function that is called, anew for each subject.
type callee func() func(context.Context) error

// refused, as subject.runs, says that call is not run at all.
const refused = -1

var (
	errDown  = errors.New("down")
	errAny   = errors.New("any error will do")
	answered = make(chan struct{})
)

func init() { close(answered) }

// deaf never looks at its context, as most computation does not.
func deaf() func(context.Context) error {
	return func(context.Context) error { return nil }
}

// waits is ready to be cancelled, as all network code is.
func waits() func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-answered: // is closed
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// failsTwice fails, fails and succeeds, again and again.
func failsTwice() func(context.Context) error {
	calls := 0
	return func(context.Context) error {
		calls++
		if calls%3 != 0 {
			return errDown
		}
		return nil
	}
}

// rows are all comparisons of this package.
func rows() []row {
	var all []row
	for _, group := range []func() []row{
		retryRows, breakerRows, timeoutRows, limitRows, stackRows, httpRows, telemetryRows, hedgeRows,
	} {
		all = append(all, group()...)
	}
	return all
}

// run measures the rows of one benchmark. The subjects of a row follow one
// another, so that what disturbs the machine disturbs them alike.
func run(b *testing.B, rows []row) {
	b.Helper()
	name := strings.TrimPrefix(b.Name(), "Benchmark")
	for _, r := range rows {
		if r.bench != name {
			continue
		}
		for _, s := range r.subjects {
			b.Run(s.name(r), func(b *testing.B) {
				op := s.wrap(r.callee())
				ctx := b.Context()
				if err := op(ctx); !s.right(err) { // also warms it up
					b.Fatalf("err = %v, want %v", err, s.want)
				}
				b.ReportAllocs()
				cpu := cpuTime()
				for b.Loop() {
					_ = op(ctx)
				}
				reportCPU(b, cpu)
			})
		}
	}
}

func (s subject) name(r row) string {
	name := "impl=" + s.impl
	if r.keys != "" {
		name += "/" + r.keys
	}
	return name
}

func (s subject) right(err error) bool {
	if s.want == errAny {
		return err != nil
	}
	return errors.Is(err, s.want)
}

// reportCPU reports the processor time of the process since start, by
// operation. Unlike the time on the clock it does not grow when others use the
// machine.
func reportCPU(b *testing.B, start time.Duration) {
	b.Helper()
	b.ReportMetric(float64(cpuTime()-start)/float64(b.N), "cpu-ns/op")
}

// ballast pins the heap at a size at which the garbage collector runs about as
// often as in a small service: the less often it runs, the less the allocations
// of rivals weigh. Without it the figures depend on what the
// benchmarks before left behind.
var ballast []byte

func TestMain(m *testing.M) {
	ballast = make([]byte, 4<<20)
	warm()
	code := m.Run()
	runtime.KeepAlive(ballast)
	os.Exit(code)
}

// warm has the system give the heap its memory. It does that page by page as they
// are first used, which makes the first 50 ms of a process twice as dear, to the
// subject that happens to be measured in them.
func warm() {
	pages := make([]byte, 32<<20)
	for i := 0; i < len(pages); i += 1 << 10 {
		pages[i] = 1
	}
	runtime.KeepAlive(pages)
	runtime.GC()
}

// TestRowsOnce runs every operation a few times, so that what the benchmarks
// measure is known to happen: the callee runs as often as it should and the
// outcome is right.
func TestRowsOnce(t *testing.T) {
	const times = 3
	for _, r := range rows() {
		for _, s := range r.subjects {
			t.Run(fmt.Sprintf("%s/%s", r.bench, s.name(r)), func(t *testing.T) {
				runs := 0
				call := r.callee()
				op := s.wrap(func(ctx context.Context) error {
					runs++
					return call(ctx)
				})
				runs = 0 // wrap may have called to open a circuit
				for range times {
					if err := op(t.Context()); !s.right(err) {
						t.Errorf("err = %v, want %v", err, s.want)
					}
				}
				want := times * max(s.runs, 1)
				if s.runs == refused {
					want = 0
				}
				if runs != want {
					t.Errorf("callee ran %d times in %d operations, want %d", runs, times, want)
				}
			})
		}
	}
}
