package ops

import (
	"cmp"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
	"weak"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/internal/law"
	"github.com/redoubt-go/redoubt/retry"
)

// The values that stand for the zero fields of a [Config].
const (
	DefaultInterval    = time.Second
	DefaultMaxRows     = 200
	DefaultMaxWatchers = 16
)

// minInterval keeps watchers from being the load.
const minInterval = 100 * time.Millisecond

// Config says what a [View] shows, and who may do something about it. What is
// in it twice is shown once.
type Config struct {
	// Name is what the page is about, commonly the service's name. It may be
	// empty.
	Name string

	// Clients are shown with all that is in the layers of their Transport, a
	// [*redoubt.Transport], and further in by Base: the guards of a
	// failover's endpoints, too. The Transport of package failover or hedge
	// may also be the outermost.
	Clients []*http.Client

	// Layers are shown with all that is in them: the layers of stacks, the
	// guards of a failover's endpoints and the budgets of retry policies. What is
	// inside of a layer that is not Redoubt's can't be seen; name it here by
	// itself.
	//
	// A stackfile.Live, here or as the Transport of a client, is shown as it
	// is whenever somebody looks; its Layers() would be shown as they were.
	// So is any other layer or Transport that has a method Layers()
	// redoubt.Stack.
	Layers []redoubt.Layer

	// Budgets and BudgetGroups are those that no retry policy above has,
	// such as one that only hedging draws on.
	Budgets      []*retry.Budget
	BudgetGroups []*retry.BudgetGroup

	// Authorize returns nil if the sender of r may force circuits open or
	// closed and reset them, and else why not, which the logger is told and
	// the sender is not. Nil refuses everybody. It is also asked about
	// requests that only look, with method GET, to know whether to offer the
	// buttons. See [Loopback] for a ready one.
	Authorize func(r *http.Request) error

	// TraceURL is where to look at a trace, with {trace_id} in place of its
	// id in hexadecimal, such as "https://jaeger.example.com/trace/{trace_id}".
	// If it is empty, trace ids are shown without a link.
	TraceURL string

	// Logger gets a record of everything that is done, at level Warn, and of
	// every request to do something that was refused. Its handler gets the
	// request's context, so that it can add who asked. Nil is silent.
	Logger *slog.Logger

	// Interval is how often those who watch are told what has changed, at
	// least 100 ms. Zero means DefaultInterval.
	Interval time.Duration

	// MaxRows is how many breakers, budgets and limits are shown, of each;
	// those in trouble come first. Zero means DefaultMaxRows.
	MaxRows int

	// MaxWatchers is how many may watch at the same time. Zero means
	// DefaultMaxWatchers.
	MaxWatchers int
}

func (c Config) withDefaults() Config {
	c.Interval = cmp.Or(c.Interval, DefaultInterval)
	c.MaxRows = cmp.Or(c.MaxRows, DefaultMaxRows)
	c.MaxWatchers = cmp.Or(c.MaxWatchers, DefaultMaxWatchers)
	return c
}

// check reports the fields that make no sense, after defaults.
func (c Config) check() error {
	var findings []error
	bad := func(field string, value any, rule string) {
		findings = append(findings, law.Misuse("ops: %s is %v, must %s", field, value, rule))
	}
	if c.Interval < minInterval {
		bad("Interval", c.Interval, "be at least "+minInterval.String())
	}
	if c.MaxRows < 1 {
		bad("MaxRows", c.MaxRows, "be positive")
	}
	if c.MaxWatchers < 1 {
		bad("MaxWatchers", c.MaxWatchers, "be positive")
	}
	if c.TraceURL != "" && !validTraceURL(c.TraceURL) {
		bad("TraceURL", c.TraceURL, "be an http or https URL with "+traceID+" in it")
	}
	return errors.Join(findings...)
}

const traceID = "{trace_id}"

func validTraceURL(s string) bool {
	u, err := url.Parse(strings.ReplaceAll(s, traceID, "0"))
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" &&
		!strings.Contains(u.Host, "{") && strings.Contains(s, traceID)
}

// A View is an [http.Handler] that shows breakers, budgets and limits: a page
// for people and its data for programs, see the package documentation. It does
// nothing while nobody looks. It is safe for concurrent use. Make one with
// [New].
type View struct {
	config Config
	err    error
	page   page

	finding sync.Mutex
	sources *sources

	mu       sync.Mutex
	watchers int
	newest   *sample       // what watchers were last told
	changed  chan struct{} // closed when somebody did something

	// servers have been watched through. The channel is closed when the
	// server shuts down.
	servers map[weak.Pointer[http.Server]]chan struct{}
}

// New returns a view of what config names. If config makes no sense, the view's
// Check says why, and every request is answered with that error.
func New(config Config) *View {
	config = config.withDefaults()
	v := &View{
		config:  config,
		page:    newPage(),
		changed: make(chan struct{}),
		servers: map[weak.Pointer[http.Server]]chan struct{}{},
	}
	v.sources = findSources(config, &sources{numbers: map[string]int{}})
	v.err = errors.Join(config.check(), errors.Join(v.sources.findings...))
	return v
}

// Check reports all that makes no sense in the configuration, or that v was not
// made with [New]. It does not check the layers: redoubt.Check does.
func (v *View) Check() error {
	if v == nil || v.changed == nil {
		return errZero
	}
	return v.err
}

var errZero = law.Misuse("ops: View is nil or zero, must be made with New")
