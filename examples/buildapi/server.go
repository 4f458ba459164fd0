package main

import (
	"fmt"
	"net"
	"net/http"
	"sync"
)

// An illness is how the build server treats one request.
type illness int

const (
	well   illness = iota
	lost           // it does what it is asked to, and the answer is lost
	hangs          // it never answers
	broken         // 500, and nothing was done
)

// A buildServer is a REST API for builds. It knows Idempotency-Key: the second
// request with a key gets the answer of the first.
//
//	POST   /builds       triggers a build
//	GET    /builds/{id}  tells its status
//	DELETE /builds/{id}  cancels it
type buildServer struct {
	mu       sync.Mutex
	next     []illness // of the coming requests; well when used up
	status   map[string]string
	byKey    map[string]string // from Idempotency-Key to build
	arrivals int
}

func newBuildServer() *buildServer {
	return &buildServer{status: map[string]string{}, byKey: map[string]string{}}
}

func (s *buildServer) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /builds", s.serve(func(r *http.Request) (int, string) {
		return http.StatusCreated, s.trigger(r.Header.Get("Idempotency-Key"))
	}))
	mux.HandleFunc("GET /builds/{id}", s.serve(func(r *http.Request) (int, string) {
		return s.tell(r.PathValue("id"))
	}))
	mux.HandleFunc("DELETE /builds/{id}", s.serve(func(r *http.Request) (int, string) {
		return s.cancel(r.PathValue("id"))
	}))
	return mux
}

func (s *buildServer) serve(do func(*http.Request) (int, string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch s.draw() {
		case hangs:
			<-r.Context().Done()
		case broken:
			http.Error(w, "out of disk", http.StatusInternalServerError)
		case lost:
			do(r)
			cut(w)
		default:
			code, text := do(r)
			w.WriteHeader(code)
			fmt.Fprint(w, text)
		}
	}
}

// draw returns how the next request is treated.
func (s *buildServer) draw() illness {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arrivals++
	if len(s.next) == 0 {
		return well
	}
	i := s.next[0]
	s.next = s.next[1:]
	return i
}

func (s *buildServer) fallIll(next ...illness) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = next
	s.arrivals = 0
}

func (s *buildServer) requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.arrivals
}

func (s *buildServer) builds() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.status)
}

func (s *buildServer) trigger(key string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id, ok := s.byKey[key]; ok && key != "" {
		return id
	}
	id := fmt.Sprint(len(s.status) + 1)
	s.status[id] = "running"
	if key != "" {
		s.byKey[key] = id
	}
	return id
}

func (s *buildServer) tell(id string) (int, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	status, ok := s.status[id]
	if !ok {
		return http.StatusNotFound, "no such build"
	}
	return http.StatusOK, status
}

// cancel is idempotent, as DELETE has to be.
func (s *buildServer) cancel(id string) (int, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.status[id]; !ok {
		return http.StatusNotFound, "no such build"
	}
	s.status[id] = "cancelled"
	return http.StatusOK, "cancelled"
}

// cut resets the connection instead of answering.
func cut(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
