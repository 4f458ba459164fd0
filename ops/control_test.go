package ops

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
)

// command is a request that is carried out, unless something about it is changed.
func command(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "https://ops.example/debug/control", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("Origin", "https://ops.example")
	return r
}

func send(v *View, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	v.ServeHTTP(w, r)
	return w
}

const openIt = `{"id":"b1","action":"force_open"}`

func TestControl_Refuses(t *testing.T) {
	header := func(pairs ...string) func(*http.Request) {
		return func(r *http.Request) {
			for i := 0; i < len(pairs); i += 2 {
				if pairs[i+1] == "" {
					r.Header.Del(pairs[i])
				} else {
					r.Header.Set(pairs[i], pairs[i+1])
				}
			}
		}
	}
	method := func(m string) func(*http.Request) { return func(r *http.Request) { r.Method = m } }
	tests := []struct {
		name   string
		change func(*http.Request)
		body   string
		want   int
	}{
		{"nothing wrong", nil, openIt, http.StatusOK},
		{"not a browser", header("Sec-Fetch-Site", "", "Origin", ""), openIt, http.StatusOK},
		{"an old browser", header("Sec-Fetch-Site", ""), openIt, http.StatusOK},
		{"a charset", header("Content-Type", "application/json; charset=utf-8"), openIt, http.StatusOK},

		{"another site", header("Sec-Fetch-Site", "cross-site"), openIt, http.StatusForbidden},
		{"a sister site", header("Sec-Fetch-Site", "same-site"), openIt, http.StatusForbidden},
		{"typed in", header("Sec-Fetch-Site", "none", "Origin", ""), openIt, http.StatusOK},
		{"another origin", header("Sec-Fetch-Site", "", "Origin", "https://evil.example"), openIt, http.StatusForbidden},
		{"another port", header("Sec-Fetch-Site", "", "Origin", "https://ops.example:444"), openIt, http.StatusForbidden},
		{"a sandbox", header("Sec-Fetch-Site", "", "Origin", "null"), openIt, http.StatusForbidden},
		{"a form", header("Content-Type", "application/x-www-form-urlencoded"), openIt, http.StatusUnsupportedMediaType},
		{"a form with files", header("Content-Type", "multipart/form-data; boundary=x"), openIt, http.StatusUnsupportedMediaType},
		{"a form of text", header("Content-Type", "text/plain"), openIt, http.StatusUnsupportedMediaType},
		{"a trick", header("Content-Type", "text/plain; application/json"), openIt, http.StatusUnsupportedMediaType},
		{"no type", header("Content-Type", ""), openIt, http.StatusUnsupportedMediaType},

		{"get", method(http.MethodGet), openIt, http.StatusMethodNotAllowed},
		{"head", method(http.MethodHead), openIt, http.StatusMethodNotAllowed},
		{"put", method(http.MethodPut), openIt, http.StatusMethodNotAllowed},
		{"may I", method(http.MethodOptions), openIt, http.StatusMethodNotAllowed},
		{"overridden", func(r *http.Request) { method(http.MethodGet)(r); header("X-Http-Method-Override", "POST")(r) }, openIt, http.StatusMethodNotAllowed},

		{"empty", nil, ``, http.StatusBadRequest},
		{"not JSON", nil, `id=b1`, http.StatusBadRequest},
		{"null", nil, `null`, http.StatusBadRequest},
		{"a list", nil, `[]`, http.StatusBadRequest},
		{"two", nil, openIt + openIt, http.StatusBadRequest},
		{"more", nil, openIt + `}`, http.StatusBadRequest},
		{"unknown field", nil, `{"id":"b1","action":"reset","for":"1h"}`, http.StatusBadRequest},
		{"unknown action", nil, `{"id":"b1","action":"explode"}`, http.StatusBadRequest},
		{"no action", nil, `{"id":"b1"}`, http.StatusBadRequest},
		{"unknown id", nil, `{"id":"b9","action":"reset"}`, http.StatusNotFound},
		{"unknown key", nil, `{"id":"b2/nobody","action":"reset"}`, http.StatusNotFound},
		{"a group", nil, `{"id":"b2","action":"reset"}`, http.StatusNotFound},
		{"a key of no group", nil, `{"id":"b1/x","action":"reset"}`, http.StatusNotFound},
		{"a budget", nil, `{"id":"r1","action":"reset"}`, http.StatusNotFound},
		{"too long", nil, `{"id":"` + strings.Repeat("x", maxCommand) + `","action":"reset"}`, http.StatusRequestEntityTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, g := newBreaker("mail"), newGroup(0)
			v := newView(t, Config{Layers: []redoubt.Layer{b, g}, Authorize: anybody})
			r := command(tt.body)
			if tt.change != nil {
				tt.change(r)
			}
			w := send(v, r)
			if w.Code != tt.want {
				t.Errorf("status is %d, want %d: %s", w.Code, tt.want, w.Body)
			}
			if done := b.Status().Forced; done != (tt.want == http.StatusOK) {
				t.Errorf("done: %v", done)
			}
			if n := len(g.Breakers()); n != 0 {
				t.Errorf("%d breakers were made", n)
			}
			for name := range maps.Keys(w.Header()) {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("header %s", name)
				}
			}
			if tt.want == http.StatusMethodNotAllowed && w.Header().Get("Allow") != http.MethodPost {
				t.Errorf("Allow: %s", w.Header().Get("Allow"))
			}
			if tt.want != http.StatusOK && tt.name != "head" {
				var told Refusal
				if err := json.Unmarshal(w.Body.Bytes(), &told); err != nil || told.Error == "" {
					t.Errorf("body is %s", w.Body)
				}
			}
		})
	}
}

func TestControl_Authorize(t *testing.T) {
	badge := func(r *http.Request) error {
		if r.Header.Get("Authorization") != "Bearer sre" {
			return errors.New("secret reason")
		}
		return nil
	}
	for _, tt := range []struct {
		name      string
		authorize func(*http.Request) error
		badge     string
		want      int
	}{
		{"nobody", nil, "Bearer sre", http.StatusForbidden},
		{"a stranger", badge, "", http.StatusForbidden},
		{"one who may", badge, "Bearer sre", http.StatusOK},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBreaker("mail")
			v := newView(t, Config{Layers: []redoubt.Layer{b}, Authorize: tt.authorize})
			r := command(openIt)
			r.Header.Set("Authorization", tt.badge)
			w := send(v, r)
			if w.Code != tt.want || b.Status().Forced != (tt.want == http.StatusOK) {
				t.Errorf("status is %d, want %d; forced: %v", w.Code, tt.want, b.Status().Forced)
			}
			if strings.Contains(w.Body.String(), "secret") {
				t.Errorf("the answer is %s", w.Body)
			}

			look := httptest.NewRequest(http.MethodGet, "/state", http.NoBody)
			look.Header.Set("Authorization", tt.badge)
			var s Snapshot
			if err := json.Unmarshal(send(v, look).Body.Bytes(), &s); err != nil || s.Writable != (tt.want == http.StatusOK) {
				t.Errorf("writable: %v, %v", s.Writable, err)
			}
		})
	}
}

func TestControl_RoundTrip(t *testing.T) {
	var log bytes.Buffer
	b, g := newBreaker("mail"), newGroup(0)
	ctx := as(t.Context(), "a/b") // a slash in a key is no separator
	_ = g.Do(ctx, succeed)
	v := newView(t, Config{
		Layers:    []redoubt.Layer{b, g},
		Authorize: anybody,
		Logger:    slog.New(slog.NewTextHandler(&log, nil)),
	})
	for _, step := range []struct {
		id, action string
		breaker    *breaker.Breaker
		state      breaker.State
		forced     bool
	}{
		{"b1", ForceOpen, b, breaker.Open, true},
		{"b1", ForceClosed, b, breaker.Closed, true},
		{"b1", Reset, b, breaker.Closed, false},
		{"b2/a/b", ForceOpen, g.For(ctx), breaker.Open, true},
		{"b2/a/b", ForceOpen, g.For(ctx), breaker.Open, true},
		{"b2/a/b", Reset, g.For(ctx), breaker.Closed, false},
	} {
		body, err := json.Marshal(Command{step.id, step.action})
		if err != nil {
			t.Fatal(err)
		}
		log.Reset()
		w := send(v, command(string(body)))
		var told Result
		if err := json.Unmarshal(w.Body.Bytes(), &told); err != nil || w.Code != http.StatusOK {
			t.Fatalf("%s: %d %s", body, w.Code, w.Body)
		}
		row := told.Breaker
		if row.ID != step.id || row.State != step.state.String() || row.Forced != step.forced || len(row.Transitions) == 0 {
			t.Errorf("%s: told %+v", body, row)
		}
		if s := step.breaker.Status(); s.State != step.state || s.Forced != step.forced {
			t.Errorf("%s: it is %+v", body, s)
		}
		for _, want := range []string{
			"level=WARN", `msg="ops: command carried out"`, "action=" + step.action, "breaker=" + row.Name, "key=" + row.Key,
			"after.state=" + row.State, "remote=192.0.2.1:1234", "origin=https://ops.example",
		} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("%s: the log lacks %s: %s", body, want, log.String())
			}
		}
	}
	log.Reset()
	send(v, command(`{"id":"b9","action":"reset"}`))
	if !strings.Contains(log.String(), `msg="ops: command refused" why="there is no such breaker, or no longer"`) {
		t.Errorf("log: %s", log.String())
	}
}
