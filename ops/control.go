package ops

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// maxCommand bounds the body of a request, in bytes.
const maxCommand = 64 << 10

// The actions of a [Command].
const (
	ForceOpen   = "force_open"   // refuse all calls until reset
	ForceClosed = "force_closed" // let all calls pass until reset
	Reset       = "reset"        // close, and forget what was counted and forced
)

// A Command is the body of POST control, as JSON. Its content type must be
// application/json.
type Command struct {
	ID     string `json:"id"`     // of a Circuit
	Action string `json:"action"` // ForceOpen, ForceClosed or Reset
}

// A Result is the answer to a [Command]: how the circuit stands after it.
type Result struct {
	Breaker Circuit `json:"breaker"`
}

// A denial is why a command is not carried out.
type denial struct {
	status int
	told   string // to the sender
	err    error  // told to the logger; may be nil
}

func (v *View) writable(r *http.Request) bool { return v.authorize(r) == nil }

var errReadOnly = errors.New("ops: Authorize is nil")

func (v *View) authorize(r *http.Request) error {
	if v.config.Authorize == nil {
		return errReadOnly
	}
	return v.config.Authorize(r)
}

// control carries out a command, if it is sent by somebody who may, and by no
// page but ours. A browser sends JSON to another site only after it has asked,
// and is never told yes; it also says where a request comes from.
func (v *View) control(w http.ResponseWriter, r *http.Request) {
	command, denied := v.command(w, r)
	if denied == nil {
		denied = v.carryOut(w, r, command)
	}
	if denied == nil {
		return
	}
	v.log(r, "ops: command refused", slog.String("why", denied.told), slog.String("error", textOf(denied.err)))
	fail(w, denied.status, denied.told)
}

// command returns what r asks for.
func (v *View) command(w http.ResponseWriter, r *http.Request) (Command, *denial) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return Command{}, &denial{status: http.StatusMethodNotAllowed, told: "commands are sent by POST"}
	}
	var sameOrigin http.CrossOriginProtection // which trusts no other
	if err := sameOrigin.Check(r); err != nil {
		return Command{}, &denial{http.StatusForbidden, "the request comes from another site", err}
	}
	if err := v.authorize(r); err != nil {
		return Command{}, &denial{http.StatusForbidden, "you may not do this", err}
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return Command{}, &denial{http.StatusUnsupportedMediaType, "the content type must be application/json", err}
	}
	return decode(http.MaxBytesReader(w, r.Body, maxCommand))
}

// decode reads one command and nothing else.
func decode(body io.Reader) (Command, *denial) {
	var c Command
	decoder := json.NewDecoder(body)
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&c)
	if err == nil {
		if _, more := decoder.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("ops: more than one value")
		}
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return Command{}, &denial{http.StatusRequestEntityTooLarge, "the command is too long", err}
	case err != nil:
		return Command{}, &denial{http.StatusBadRequest, "the body must be a command in JSON", err}
	}
	return c, nil
}

func (v *View) carryOut(w http.ResponseWriter, r *http.Request, c Command) *denial {
	if !slices.Contains([]string{ForceOpen, ForceClosed, Reset}, c.Action) {
		return &denial{status: http.StatusBadRequest, told: errAction.Error()}
	}
	b, ok := byID(v.found().breakers, c.ID)
	if !ok {
		return &denial{status: http.StatusNotFound, told: "there is no such breaker, or no longer"}
	}
	_, key, _ := strings.Cut(c.ID, "/")
	before := b.row(time.Now())
	switch err := b.act(r.Context(), c.Action); {
	case errors.Is(err, errShared):
		return &denial{status: http.StatusBadRequest, told: err.Error()}
	case err != nil:
		return &denial{http.StatusBadGateway, "the store that has the circuit can't be used", err}
	}
	after := read(c.ID, key, b, time.Now())
	v.log(r, "ops: command carried out",
		slog.String("action", c.Action),
		slog.String("breaker", after.row.Name),
		slog.String("key", key),
		slog.Group("before", slog.String("state", before.State), slog.Bool("forced", before.Forced)),
		slog.Group("after", slog.String("state", after.row.State), slog.Bool("forced", after.row.Forced)))
	v.nudge()
	after.row.Transitions = v.transitionsOf(b)
	answer(w, http.StatusOK, Result{after.row})
	return nil
}

// log writes down what somebody did, or tried to.
func (v *View) log(r *http.Request, message string, attrs ...slog.Attr) {
	if v.config.Logger == nil {
		return
	}
	attrs = append(attrs, slog.String("remote", r.RemoteAddr), slog.String("origin", r.Header.Get("Origin")))
	v.config.Logger.LogAttrs(r.Context(), slog.LevelWarn, message, attrs...)
}

// Loopback is a Config.Authorize for development, and for servers that can be
// reached only through a tunnel. It lets those do everything who are on the same
// machine and use the name localhost or a loopback address, which no web page in
// a browser can do under a name of its own. Requests that a proxy passes on are
// refused.
func Loopback(r *http.Request) error {
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via"} {
		if r.Header.Get(name) != "" {
			return errors.New("ops: the request came through a proxy, it has " + name)
		}
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !peer.Addr().Unmap().IsLoopback() {
		return errors.New("ops: the sender is not on this machine")
	}
	if !isLoopback(r.Host) {
		return errors.New("ops: the host asked for is not this machine")
	}
	return nil
}

// isLoopback judges the host of a request, with or without a port.
func isLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && addr.Unmap().IsLoopback()
}
