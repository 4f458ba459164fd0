package ops

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/retry"
)

func TestCheck(t *testing.T) {
	tests := []struct {
		name   string
		config Config
		want   string // "" if it is right
	}{
		{"zero", Config{}, ""},
		{"interval", Config{Interval: time.Millisecond}, "ops: Interval is 1ms, must be at least 100ms"},
		{"rows", Config{MaxRows: -1}, "ops: MaxRows is -1, must be positive"},
		{"watchers", Config{MaxWatchers: -1}, "ops: MaxWatchers is -1, must be positive"},
		{"two", Config{MaxRows: -1, MaxWatchers: -1}, "ops: MaxRows is -1, must be positive\nops: MaxWatchers is -1, must be positive"},
		{"nil client", Config{Clients: []*http.Client{nil}}, "ops: Clients[0] is nil"},
		{
			"client without",
			Config{Clients: []*http.Client{redoubt.NewClient("a"), {}}},
			"ops: Clients[1].Transport is <nil>, must be a *redoubt.Transport, or have one further in",
		},
		{
			"client of others",
			Config{Clients: []*http.Client{{Transport: http.DefaultTransport}}},
			"ops: Clients[0].Transport is *http.Transport, must be a *redoubt.Transport, or have one further in",
		},
		{"client without layers", Config{Clients: []*http.Client{{Transport: &redoubt.Transport{}}}}, ""},
		{"nil layer", Config{Layers: []redoubt.Layer{redoubt.Stack{retry.Policy{}, nil}}}, "ops: Layers[0][1] is nil"},
		{"nil budget", Config{Budgets: []*retry.Budget{nil}}, "ops: Budgets[0] is nil"},
		{"nil budgets", Config{BudgetGroups: []*retry.BudgetGroup{nil}}, "ops: BudgetGroups[0] is nil"},
		{"trace", Config{TraceURL: "https://jaeger.example/trace/{trace_id}?x={trace_id}"}, ""},
		{
			"trace without id",
			Config{TraceURL: "https://jaeger.example/"},
			"ops: TraceURL is https://jaeger.example/, must be an http or https URL with {trace_id} in it",
		},
		{
			"trace that is a script",
			Config{TraceURL: "javascript:alert({trace_id})"},
			"ops: TraceURL is javascript:alert({trace_id}), must be an http or https URL with {trace_id} in it",
		},
		{
			"trace without host",
			Config{TraceURL: "https:{trace_id}"},
			"ops: TraceURL is https:{trace_id}, must be an http or https URL with {trace_id} in it",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := New(tt.config)
			got := ""
			if err := v.Check(); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Fatalf("Check() = %q, want %q", got, tt.want)
			}
			w := httptest.NewRecorder()
			v.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/state", http.NoBody))
			if failed := w.Code == http.StatusInternalServerError; failed != (tt.want != "") {
				t.Errorf("answer is %d %s", w.Code, w.Body)
			}
		})
	}
}

func TestCheck_Zero(t *testing.T) {
	for _, v := range []*View{nil, {}} {
		if v.Check() == nil {
			t.Error("Check() = nil, want an error")
		}
		w := httptest.NewRecorder()
		v.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", http.NoBody))
		if w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), "must be made with New") {
			t.Errorf("answer is %d %s", w.Code, w.Body)
		}
	}
}

// TestFinds holds that what has state is found wherever it is, and once.
func TestFinds(t *testing.T) {
	budget := retry.NewBudget(retry.BudgetConfig{Name: "shared"})
	search := newBreaker("search")
	v := newView(t, Config{
		Clients: []*http.Client{redoubt.NewClient("payments")},
		Layers: []redoubt.Layer{
			redoubt.Stack{
				redoubt.Telemetry{},
				&retry.Policy{Budget: budget},
				redoubt.Stack{search},
				redoubt.LayerFunc(func(ctx context.Context, call func(context.Context) error) error { return call(ctx) }),
			},
			redoubt.Stack{retry.Policy{Budget: budget}, search},
			newBreaker("mail"),
			breaker.New(breaker.Config{}), // its own Check says so
			(*retry.Policy)(nil),
		},
		Budgets: []*retry.Budget{budget, retry.NewBudget(retry.BudgetConfig{Name: "lone"})},
		BudgetGroups: []*retry.BudgetGroup{retry.NewBudgetGroup(retry.BudgetGroupConfig{
			Key: func(context.Context) string { return "" },
		})},
	})
	got := get(t, v, "/state")
	if got, want := ids(got.Breakers.Rows), "b3 b2"; got != want { // mail, search
		t.Errorf("breakers are %s, want %s", got, want)
	}
	var budgets []string
	for _, b := range got.Budgets.Rows {
		budgets = append(budgets, b.ID+"="+b.Name)
	}
	if got, want := strings.Join(budgets, " "), "r3=lone r2=shared"; got != want {
		t.Errorf("budgets are %s, want %s", got, want)
	}
}

func TestLoopback(t *testing.T) {
	tests := []struct {
		remote, host, header string
		want                 bool
	}{
		{"127.0.0.1:50000", "127.0.0.1:8080", "", true},
		{"127.0.0.1:50000", "localhost:8080", "", true},
		{"127.0.0.1:50000", "LOCALHOST", "", true},
		{"127.8.0.1:50000", "127.8.0.1", "", true},
		{"[::1]:50000", "[::1]:8080", "", true},
		{"[::1]:50000", "[::1]", "", true},
		{"[::ffff:127.0.0.1]:50000", "localhost", "", true},
		{"10.0.0.1:50000", "localhost", "", false},
		{"127.0.0.1:50000", "evil.example:8080", "", false}, // a name that was resolved anew
		{"127.0.0.1:50000", "localhost.evil.example", "", false},
		{"127.0.0.1:50000", "10.0.0.1", "", false},
		{"127.0.0.1:50000", "", "", false},
		{"127.0.0.1:50000", "localhost", "X-Forwarded-For", false},
		{"127.0.0.1:50000", "localhost", "Forwarded", false},
		{"@", "localhost", "", false}, // a Unix socket
		{"", "localhost", "", false},
	}
	for _, tt := range tests {
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.RemoteAddr, r.Host = tt.remote, tt.host
		if tt.header != "" {
			r.Header.Set(tt.header, "10.0.0.1")
		}
		if err := Loopback(r); (err == nil) != tt.want {
			t.Errorf("Loopback(%+v) = %v", tt, err)
		}
	}
}

// TestLogger_Silent holds that without a logger nothing is logged.
func TestLogger_Silent(t *testing.T) {
	before := slog.Default()
	var log strings.Builder
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	defer slog.SetDefault(before)
	v := newView(t, Config{})
	v.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/control", http.NoBody))
	if log.Len() > 0 {
		t.Error(log.String())
	}
}
