package ops

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// maxSearch bounds what is searched for, in bytes.
const maxSearch = 200

// ServeHTTP answers by the last element of the path, so that a View can be
// mounted below any prefix that ends in a slash:
//
//	GET  /         the page
//	GET  /state    a Snapshot, as JSON
//	GET  /events   server-sent events: "state" with a Snapshot, then "change"
//	               with a Change after every Config.Interval
//	POST /control  a Command, as JSON; the answer is a Result
//
// The parameter q of /state and /events restricts the rows to those whose name
// or key has it as a part.
func (v *View) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	protect(w.Header())
	if err := v.Check(); err != nil {
		fail(w, http.StatusInternalServerError, err.Error())
		return
	}
	switch last := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]; last {
	case "":
		readOnly(w, r, v.page.serve)
	case "state":
		readOnly(w, r, own(v.state))
	case "events":
		readOnly(w, r, own(v.events))
	case "control":
		v.control(w, r)
	default:
		fail(w, http.StatusNotFound, "there is nothing here")
	}
}

// protect keeps what is told from caches and from other sites, which may neither
// read it nor frame it. There is no CORS: nobody else is to read it.
func protect(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
}

// readOnly serves a request that changes nothing.
func readOnly(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		fail(w, http.StatusMethodNotAllowed, "this can only be read")
		return
	}
	serve(w, r)
}

// own serves a request unless a browser says that another site's page makes it.
// That page could not read the answer, but it could be one watcher too many.
func own(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("Sec-Fetch-Site") {
		case "", "none", "same-origin":
			serve(w, r)
		default:
			fail(w, http.StatusForbidden, "the request comes from another site")
		}
	}
}

func (v *View) state(w http.ResponseWriter, r *http.Request) {
	snapshot, circuits := v.snapshot(v.found().take(time.Now()), searchOf(r), v.writable(r))
	snapshot.Breakers.Rows = make([]Circuit, 0, len(circuits))
	for _, c := range circuits {
		row := c.row
		row.Transitions = v.transitionsOf(c.breaker)
		snapshot.Breakers.Rows = append(snapshot.Breakers.Rows, row)
	}
	answer(w, http.StatusOK, snapshot)
}

func searchOf(r *http.Request) string {
	q := strings.TrimSpace(r.URL.Query().Get("q"))
	return q[:min(len(q), maxSearch)]
}

func answer(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // If the client is gone, so is whom to tell.
}

// A Refusal is the answer, as JSON, to a request that is not served.
type Refusal struct {
	Error string `json:"error"`
}

func fail(w http.ResponseWriter, status int, why string) {
	answer(w, status, Refusal{Error: why})
}
