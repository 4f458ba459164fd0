package limit

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func TestAIMD(t *testing.T) {
	c := Config{Min: 5, Max: 200}.withDefaults()
	tests := []struct {
		name  string
		limit float64
		s     sample
		want  float64
	}{
		{"rises when half is in use", 20, sample{inFlight: 10}, 21},
		{"rises when all is in use", 20, sample{inFlight: 20}, 21},
		{"does not rise when less is", 20, sample{inFlight: 9}, 20},
		{"does not rise beyond its maximum", 200, sample{inFlight: 200}, 200},
		{"rises to its maximum", 199.5, sample{inFlight: 200}, 200},
		{"falls", 20, sample{inFlight: 20, dropped: true}, 18},
		{"falls though little is in use", 20, sample{inFlight: 1, dropped: true}, 18},
		{"falls to its minimum", 5.4, sample{inFlight: 5, dropped: true}, 5},
		{"does not fall below it", 5, sample{inFlight: 5, dropped: true}, 5},
		{"keeps its fraction", 16.2, sample{inFlight: 9}, 17.2},
		{"the half is that of the fraction", 16.2, sample{inFlight: 8}, 16.2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := c.aimd(tt.limit, tt.s); math.Abs(got-tt.want) > 1e-9 {
				t.Errorf("aimd(%v, %+v) = %v, want %v", tt.limit, tt.s, got, tt.want)
			}
		})
	}
}

// TestAIMD_Balance holds where the limit comes to rest if a share of calls p is
// dropped: where the rise, 1-p, is the fall, p(1-0.9)L.
func TestAIMD_Balance(t *testing.T) {
	c := Config{Min: 1, Max: 1000}.withDefaults()
	random := rand.New(rand.NewPCG(1, 1))
	for _, p := range []float64{0.05, 0.1, 0.5} {
		limit, sum := 20.0, 0.0
		const calls, settled = 60_000, 10_000
		for i := range calls {
			limit = c.aimd(limit, sample{inFlight: int(limit), dropped: random.Float64() < p})
			if i >= settled {
				sum += limit
			}
		}
		got, want := sum/(calls-settled), (1-p)/(p*(1-c.Backoff))
		if math.Abs(got-want) > 0.05*want {
			t.Errorf("%v of calls dropped: the limit is %.1f on average, want about %.1f", p, got, want)
		}
	}
}

// TestUnmoved holds that what spares the lock is right, whatever the fraction of
// the limit.
func TestUnmoved(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 2))
	c := Config{Min: 2, Max: 30}.withDefaults()
	spared := 0
	for range 100_000 {
		exact := c.clamp(random.Float64() * 32)
		s := sample{inFlight: 1 + random.IntN(40), dropped: random.IntN(4) == 0}
		if !c.unmoved(int(exact), s) {
			continue
		}
		spared++
		if after := c.aimd(exact, s); after != exact {
			t.Fatalf("unmoved(%v, %+v), but it moves to %v", exact, s, after)
		}
	}
	if spared == 0 {
		t.Error("the lock is never spared")
	}
	c.Algorithm = Gradient2
	if c.unmoved(20, sample{inFlight: 1}) {
		t.Error("Gradient2 has use for every sample")
	}
}

func TestWindow(t *testing.T) {
	const ms = time.Millisecond
	tests := []struct {
		name    string
		samples []sample
		want    window
	}{
		{"empty", nil, window{}},
		{"adds up", []sample{{ran: ms, inFlight: 3}, {ran: 3 * ms, inFlight: 7}, {ran: 2 * ms, inFlight: 5}}, window{ran: 6 * ms, samples: 3, inFlight: 7}},
		{"what is dropped has no time", []sample{{ran: ms, inFlight: 3}, {ran: time.Minute, inFlight: 9, dropped: true}}, window{ran: ms, samples: 1, dropped: 1, inFlight: 9}},
		{"too short to count", []sample{{ran: shortest - 1, inFlight: 3}, {ran: shortest, inFlight: 2}}, window{ran: shortest, samples: 1, inFlight: 2}},
		{"dropped, however short", []sample{{ran: 0, inFlight: 3, dropped: true}}, window{dropped: 1, inFlight: 3}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got window
			for _, s := range tt.samples {
				got = got.add(s)
			}
			if got != tt.want {
				t.Errorf("window = %+v, want %+v", got, tt.want)
			}
		})
	}

	for _, tt := range []struct {
		samples, dropped int
		now              time.Duration
		want             bool
	}{
		{9, 0, time.Hour, false},
		{10, 0, time.Second, true},
		{10, 0, time.Second - 1, false},
		{5, 5, time.Second, true},
		{0, 10, time.Second, true},
	} {
		w := window{ends: time.Second, samples: tt.samples, dropped: tt.dropped}
		if got := w.full(tt.now); got != tt.want {
			t.Errorf("full(%v) with %d samples and %d dropped = %t, want %t", tt.now, tt.samples, tt.dropped, got, tt.want)
		}
	}
}

func TestBaseline(t *testing.T) {
	var b baseline
	for i := range warmUp {
		b = b.add(float64(i))
	}
	if got, want := b.seconds, 4.5; math.Abs(got-want) > 1e-9 {
		t.Errorf("after the first ten it is %v, want their mean, %v", got, want)
	}
	b = b.add(4.5 + 601)
	if got, want := b.seconds, 4.5+2; math.Abs(got-want) > 1e-9 {
		t.Errorf("after an outlier it is %v, want %v: 2/601 of the way", got, want)
	}
	for range 4 * memory {
		b = b.add(1)
	}
	if got := b.seconds; math.Abs(got-1) > 0.01 {
		t.Errorf("it is %v, want it to have come near what has long been so, 1", got)
	}
}

func TestGradient2(t *testing.T) {
	c := Config{Algorithm: Gradient2, Min: 5}.withDefaults()
	of := func(took time.Duration, inFlight, dropped int) window {
		return window{ran: 10 * took, samples: 10, dropped: dropped, inFlight: inFlight}
	}
	settled := baseline{windows: warmUp, seconds: 0.1}
	const usual = 100 * time.Millisecond
	tests := []struct {
		name  string
		limit float64
		past  baseline
		w     window
		want  float64
	}{
		// 0.8·L + 0.2·(g·L + 4), g from 0.5 to 1.
		{"first window", 20, baseline{}, of(usual, 20, 0), 20.8},
		{"as usual", 20, settled, of(usual, 20, 0), 20.8},
		{"half in use", 20, settled, of(usual, 10, 0), 20.8},
		{"less in use", 20, settled, of(usual, 9, 0), 20},
		{"within tolerance", 100, settled, of(145*time.Millisecond, 100, 0), 100.8},
		{"twice as long", 100, settled, of(2*usual, 100, 0), 0.8*100 + 0.2*(100*1.5*(0.1+0.1*2/601)/0.2+4)},
		{"ten times as long", 100, settled, of(10*usual, 100, 0), 90.8}, // g is 0.5 at least
		{"at its maximum", 200, settled, of(usual, 200, 0), 200},
		{"at its minimum", 5, settled, of(100*usual, 5, 0), 5.3}, // 4 + 0.5 + 0.8: there is room to grow
		{"one dropped", 100, settled, of(usual, 100, 1), 90},
		{"one dropped of few", 100, settled, of(usual, 1, 1), 90},
		{"all dropped", 100, settled, window{dropped: 50, inFlight: 100}, 90},
		{"all dropped at the minimum", 5, settled, window{dropped: 50, inFlight: 5}, 5},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, _ := c.gradient2(tt.limit, tt.past, tt.w); math.Abs(got-tt.want) > 1e-6 {
				t.Errorf("limit = %v, want %v", got, tt.want)
			}
		})
	}

	_, past := c.gradient2(20, settled, of(10*time.Millisecond, 20, 0))
	if got, want := past.seconds, (0.1-0.09*2/601)*0.95; math.Abs(got-want) > 1e-9 {
		t.Errorf("the baseline of what has become ten times faster is %v, want %v", got, want)
	}
	if _, past := c.gradient2(20, settled, window{dropped: 10}); past != settled {
		t.Errorf("the baseline is %+v after a window with nothing to measure, want it as it was", past)
	}
}

// TestGradient2_Settles holds where the limit comes to rest at a server that has
// ten workers and a queue: where the queue is what the tolerance allows. The
// baseline takes that for usual as time goes by, and so the limit drifts: a
// known fault of the algorithm, which the package documentation tells of.
func TestGradient2_Settles(t *testing.T) {
	c := Config{Algorithm: Gradient2, Min: 1, Max: 1000}.withDefaults()
	limit, past := 10.0, baseline{}
	within := map[int]float64{30: 25, 300: 50}
	for i := 1; i <= 300; i++ {
		// Of L calls at once at 10 workers each takes L/10 times its work.
		took := time.Duration(max(1, limit/10) * float64(100*time.Millisecond))
		limit, past = c.gradient2(limit, past, window{ran: 10 * took, samples: 10, inFlight: int(limit)})
		if most, ok := within[i]; ok && (limit < 10 || limit > most) {
			t.Errorf("the limit is %.1f after %d windows, want from 10 to %v", limit, i, most)
		}
	}
}

func TestOpen(t *testing.T) {
	tests := []struct {
		reserved float64
		limit    int
		want     int
	}{
		{0, 10, 10},
		{0.1, 10, 9},
		{0.1, 9, 9},
		{0.5, 5, 3},
		{0.9, 10, 1},
		{0.9, 1, 1},
	}
	for _, tt := range tests {
		if got := (Config{Reserved: tt.reserved}).open(tt.limit); got != tt.want {
			t.Errorf("open(%d) with %v reserved = %d, want %d", tt.limit, tt.reserved, got, tt.want)
		}
	}
}
