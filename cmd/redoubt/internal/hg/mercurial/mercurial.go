// Package mercurial runs hg, so that nothing but what it is told decides what it
// does: no configuration of the user, no hooks or extensions of a repository, no
// translation, no questions, and no process left behind.
package mercurial

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/codes"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/classify"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/proc"
)

// RunVariable is the variable in the environment of every process that is
// started here, by which the next run finds those that a killed one left.
const RunVariable = "REDOUBT_HG_RUN"

// Config says which hg to run and how.
type Config struct {
	Path       string        // of hg; "" means hg in PATH
	LockWait   time.Duration // for hg's own locks
	UserConfig bool          // let the user's and the system's hgrc count
	Run        string        // identifies this run in the environment of children
	Stderr     io.Writer     // gets what hg writes to stderr, as it comes; nil means nobody

	// Ran is told of every command that ended. Nil means nobody.
	Ran func(Command)
}

// A Command is a run of hg that ended.
type Command struct {
	Name   string // the first argument
	Took   time.Duration
	Failed bool
}

var tracer = otel.Tracer("github.com/redoubt-go/redoubt/cmd/redoubt")

// An Hg runs hg. It is safe for concurrent use. Make one with New, and Close it.
type Hg struct {
	config Config
	path   string
	dir    string       // holds our hgrc
	held   *flock.Flock // says that dir is in use
	env    []string

	mu      sync.Mutex
	session *session // nil until there is something to run
}

// A MissingError says that there is no hg that can be used.
type MissingError struct {
	Path string
	Why  string
}

// Error says what is wrong.
func (e *MissingError) Error() string { return fmt.Sprintf("hg: %s: %s", e.Path, e.Why) }

// New finds hg and writes the configuration that it is to have.
func New(config Config) (*Hg, error) {
	if config.Path == "" {
		config.Path = "hg"
	}
	path, err := exec.LookPath(config.Path)
	if err != nil {
		return nil, &MissingError{Path: config.Path, Why: "not found in PATH, or not executable"}
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, &MissingError{Path: config.Path, Why: err.Error()}
	}
	dir, held, err := makeDir()
	if err != nil {
		return nil, fmt.Errorf("hg: %w", err)
	}
	h := &Hg{config: config, path: path, dir: dir, held: held}
	if err := os.WriteFile(h.rc(), []byte(h.configuration()), 0o600); err != nil {
		h.Close()
		return nil, fmt.Errorf("hg: %w", err)
	}
	h.env = h.environment(os.Environ())
	return h, nil
}

// Close ends hg and removes the configuration.
func (h *Hg) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.session.kill()
	h.session = nil
	_ = os.RemoveAll(h.dir)
	_ = h.held.Close()
}

func (h *Hg) rc() string { return filepath.Join(h.dir, "hgrc") }

// configuration is all that hg is told. Options on the command line would show
// in the list of processes and could be mistaken for operands.
func (h *Hg) configuration() string {
	return strings.Join([]string{
		"[ui]",
		"detailed-exit-code = 1",
		"interactive = 0",
		"clonebundles = 0",
		"merge = :fail",
		"timeout = " + strconv.Itoa(int(max(h.config.LockWait.Seconds(), 1))),
		"timeout.warn = 5",
		"[extensions]",
		"share =",
		"purge =",
		"strip =",
		"[commands]",
		"update.check = none",
		"[phases]",
		"new-commit = draft",
		"",
	}, "\n")
}

// environment is what hg inherits: nothing that changes what it says or does.
func (h *Hg) environment(inherited []string) []string {
	var env []string
	for _, variable := range inherited {
		name, _, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, "HG") || strings.HasPrefix(name, "LC_") || strings.HasPrefix(name, "CHG") {
			continue
		}
		switch name {
		case "LANG", "LANGUAGE", "EDITOR", "VISUAL", "PAGER", "PYTHONHOME", "PYTHONSTARTUP", RunVariable:
			continue
		}
		env = append(env, variable)
	}
	rc := h.rc()
	if h.config.UserConfig {
		rc = strings.Join(append(userConfig(), rc), string(os.PathListSeparator))
	}
	return append(env,
		"HGPLAIN=+strictflags", "HGRCSKIPREPO=1", "HGRCPATH="+rc, "HGENCODING=UTF-8", "LC_ALL=C.UTF-8",
		RunVariable+"="+h.config.Run)
}

// userConfig returns where the system's and the user's hgrc are. hg itself no
// longer looks once it is told of another.
func userConfig() []string {
	if path, set := os.LookupEnv("HGRCPATH"); set {
		return filepath.SplitList(path)
	}
	files := []string{"/etc/mercurial/hgrc", "/etc/mercurial/hgrc.d"}
	if home, err := os.UserHomeDir(); err == nil {
		files = append(files, filepath.Join(home, ".hgrc"))
	}
	if config, err := os.UserConfigDir(); err == nil {
		files = append(files, filepath.Join(config, "hg", "hgrc"))
	}
	return files
}

// A Call is one run of hg.
type Call struct {
	Repo  string // -R; "" means none
	Args  []string
	Phase classify.Phase
	Stall time.Duration // how long it may do nothing; 0 means for ever

	// Hide replaces, in all that is shown, what hg was given by what the
	// user knows. Nil means nothing.
	Hide *strings.Replacer
}

// A Failure is a run of hg that failed.
type Failure struct { //nolint:errname // it is what package failure judges
	Command string // the first argument
	Verdict classify.Verdict
	Stderr  string // its end
	Status  int
	Err     error // of the process; its cause if we ended it
}

// Error tells the command and the line that says why.
func (e *Failure) Error() string {
	if cause := e.Cause(); cause != nil {
		return "hg " + e.Command + ": ended: " + cause.Error()
	}
	message := e.Verdict.Message
	if message == "" {
		message = "exit status " + strconv.Itoa(e.Status)
	}
	return "hg " + e.Command + ": " + message
}

// Unwrap returns the error of the process.
func (e *Failure) Unwrap() error { return e.Err }

// Cause returns why we ended hg, nil if we didn't.
func (e *Failure) Cause() error {
	if exit, ok := errors.AsType[*proc.ExitError](e.Err); ok {
		return exit.Cause
	}
	return nil
}

// A StallError says that hg was ended because nothing moved any more.
type StallError struct{ After time.Duration }

// Error says how long nothing moved.
func (e *StallError) Error() string { return fmt.Sprintf("nothing moved for %v", e.After) }

// Timeout reports true.
func (e *StallError) Timeout() bool { return true }

// Run runs hg and returns what it wrote to stdout. If it fails, the error is a
// *Failure.
func (h *Hg) Run(ctx context.Context, c Call) (string, error) {
	args := c.Args
	if c.Repo != "" {
		args = append([]string{"--repository=" + c.Repo}, args...)
	}
	shown := io.Discard
	if h.config.Stderr != nil {
		shown = &lines{to: h.config.Stderr, hide: c.Hide}
	}
	run := h.inSession
	if c.Stall > 0 {
		run = h.alone
	}
	start := time.Now()
	_, span := tracer.Start(ctx, "hg "+c.Args[0])
	defer span.End()
	stdout, stderr, err := run(ctx, c, args, shown)
	if h.config.Ran != nil {
		h.config.Ran(Command{Name: c.Args[0], Took: time.Since(start), Failed: err != nil})
	}
	if err == nil {
		return stdout, nil
	}
	failure := h.failure(c, err, c.hide(stderr))
	span.SetStatus(codes.Error, failure.Error())
	return stdout, failure
}

// alone runs a command in a process of its own, which is ended if it stalls.
func (h *Hg) alone(ctx context.Context, c Call, args []string, shown io.Writer) (stdout, stderr string, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var out bytes.Buffer
	p, err := proc.Cmd{
		Path: h.path, Args: args, Env: h.env, Dir: h.dir,
		Stdout: &out, Stderr: shown, Tail: proc.DefaultTail,
	}.Start(ctx)
	if err != nil {
		return "", "", err
	}
	go watch(ctx, p, c, cancel)
	err = p.Wait()
	return out.String(), string(p.Stderr()), err
}

// inSession runs a command in the server, which it starts if there is none.
func (h *Hg) inSession(ctx context.Context, _ Call, args []string, shown io.Writer) (stdout, stderr string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if ctx.Err() != nil {
		return "", "", context.Cause(ctx)
	}
	if !h.session.usable(ctx) {
		_ = h.session.close()
		if h.session, stderr, err = h.start(ctx); err != nil {
			return "", stderr, err
		}
	}
	tail := proc.NewTail(proc.DefaultTail)
	var out bytes.Buffer
	status, err := h.session.run(args, &out, io.MultiWriter(tail, shown))
	if err != nil || ctx.Err() != nil {
		return out.String(), string(tail.Bytes()) + string(h.session.process.Stderr()), h.ended(err)
	}
	if status != 0 {
		err = &proc.ExitError{Path: h.config.Path, Status: status & 0xff, Stderr: tail.Bytes()}
	}
	return out.String(), string(tail.Bytes()), err
}

// ended closes a session that is over and returns how it ended.
func (h *Hg) ended(err error) error {
	closed := h.session.close()
	h.session = nil
	if closed != nil {
		return closed
	}
	return cmp.Or(err, errSession)
}

func statusOf(err error) int {
	if exit, ok := errors.AsType[*proc.ExitError](err); ok {
		return exit.Status
	}
	return -1
}

func (c Call) hide(text string) string {
	if c.Hide != nil {
		text = c.Hide.Replace(text)
	}
	return text
}

func (h *Hg) failure(c Call, err error, stderr string) *Failure {
	f := &Failure{Command: c.Args[0], Verdict: classify.Stderr(stderr, c.Phase), Stderr: stderr, Status: statusOf(err), Err: err}
	if cause := f.Cause(); cause != nil {
		f.Verdict = classify.Transport(cause)
		if c.Phase != classify.Fetch {
			f.Verdict.Source = false
		}
	}
	if _, ok := errors.AsType[*proc.StartError](err); ok {
		f.Verdict = classify.Verdict{Reaction: classify.Environment, Message: err.Error()}
	}
	return f
}

// lines writes what hg says line by line, marked as hg's, without anything that
// could drive a terminal.
type lines struct {
	to   io.Writer
	hide *strings.Replacer
	part []byte
}

func (l *lines) Write(p []byte) (int, error) {
	l.part = append(l.part, p...)
	for {
		end := bytes.IndexByte(l.part, '\n')
		if end < 0 {
			return len(p), nil
		}
		line := string(l.part[:end])
		l.part = l.part[end+1:]
		if l.hide != nil {
			line = l.hide.Replace(line)
		}
		if _, err := fmt.Fprintf(l.to, "hg: %s\n", Printable(line)); err != nil {
			return len(p), nil //nolint:nilerr // hg must not fail for want of a reader
		}
	}
}

// Printable escapes all but what is plainly visible.
func Printable(s string) string {
	quoted := strconv.Quote(s)
	return strings.ReplaceAll(strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`), `\\`, `\`)
}
